"""Pages that start a training: the form, and the list of training arguments."""

import dataclasses
import threading
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.portal.earlier_training import earlier_form, newest_tuning, tuning_request
from pytest_ibmodels.sandbox.portal.forms import Done
from pytest_ibmodels.sandbox.portal.train_form import (
    MAX_ROWS,
    Catalogue,
    TrainForm,
    database_of,
    empty_form,
    sent_form,
    training_of,
)
from pytest_ibmodels.sandbox.portal.tuned import ask, chosen_code, packages_of, read_answer, waits_for_model
from pytest_ibmodels.sandbox.portal.visits import Visit, is_renewal, page
from pytest_ibmodels.sandbox.samples import DATABASES

TRAIN = "/portal/train"


class _Column(BaseModel):
    name: str
    type: str


class _Tables(BaseModel):
    tables: list[str] = []
    table: str | None = None
    columns: list[_Column] = []
    rows: int | None = None
    left_out: int = 0


class _Argument(BaseModel):
    name: str
    default: str
    help: str


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Batch sizes that the rule would choose."""

    rows: int
    train: int
    test: int


def _new_form(visit: Visit) -> Response:
    """Show the form: filled in as an earlier training that the query names, or as the newest of the model."""
    model, job_id = visit.query("model"), visit.query("job")
    request = tuning_request(visit.tenant.store.job(job_id)) if job_id else None
    newest = newest_tuning(visit.tenant, model) if model and request is None else None
    if newest is not None:
        job_id, request = newest
    if request is None:
        return _form(visit, empty_form(model))
    return _form(visit, earlier_form(request, visit.tenant.settings.samples_root), earlier=job_id)


def _send(visit: Visit, abandoned: threading.Event) -> Response:
    """Do a step of the form, which fills a part of it, or start the training."""
    typed = sent_form(visit.form)
    match visit.form.get("step"):
        case "tables":
            return _step(visit, abandoned, typed, "train_catalogue.html", _with_tables)
        case "columns":
            return _step(visit, abandoned, typed, "train_catalogue.html", _with_columns)
        case "sizes":
            return _step(visit, abandoned, typed, "train_sizes.html", lambda _visit, form, _abandoned: form)
        case "row":
            more = dataclasses.replace(typed, row_count=min(typed.row_count + 1, MAX_ROWS))
            return _step(visit, abandoned, more, "train_arguments.html", lambda _visit, form, _abandoned: form)
        case _:
            return visit.act(
                lambda: _train(visit, typed, abandoned), lambda problem: _form(visit, typed, problem, status=409)
            )


def _train(visit: Visit, typed: TrainForm, abandoned: threading.Event) -> Done:
    settings, request = training_of(typed)
    database = database_of(visit.form)
    code = packages_of(chosen_code(visit))
    # A mistake is said here, beside what was typed, and not by a job that fails.
    visit.tenant.tuning.answer(code, "check", settings, request, abandoned)
    job_id = visit.tenant.tuning.train(code, database, {"settings": settings, "request": request})
    visit.tenant.audit.record(visit.who, "train", f"model {settings['model_name']}", after=f"job {job_id}")
    return Done(
        "The training is queued. Once it is done, its new model waits as the candidate.", f"/portal/jobs/{job_id}"
    )


def _step(visit: Visit, abandoned: threading.Event, typed: TrainForm, part: str, fill: Any) -> Response:
    """Fill a part of the form; htmx gets the part alone, and others the page."""
    problem = ""
    try:
        typed = fill(visit, typed, abandoned)
    except SandboxError as error:
        problem = str(error)
    sizes, sizes_problem = _sizes(visit, typed, abandoned)
    if not is_renewal(visit.request):
        status = 409 if problem else 200
        return _form(visit, typed, problem, status=status, sizes=sizes, sizes_problem=sizes_problem)
    values = {"sizes": sizes, "sizes_problem": sizes_problem, "is_part": True}
    return visit.render(part, form=typed, problem=problem, **values)


def _form(
    visit: Visit,
    typed: TrainForm,
    problem: str = "",
    *,
    status: int = 200,
    sizes: _Sizes | None = None,
    sizes_problem: str = "",
    earlier: str = "",
) -> Response:
    return visit.render(
        "train.html",
        status,
        form=typed,
        earlier=earlier,
        problem=problem,
        sizes=sizes,
        sizes_problem=sizes_problem,
        samples=DATABASES,
        is_part=False,
        code=chosen_code(visit),
    )


def _with_tables(visit: Visit, typed: TrainForm, abandoned: threading.Event) -> TrainForm:
    found = _read_tables(visit, abandoned, None)
    catalogue = Catalogue(tuple(found.tables), left_out=found.left_out)
    if len(found.tables) == 1:
        return _with_columns(
            visit,
            dataclasses.replace(typed, catalogue=dataclasses.replace(catalogue, table=found.tables[0])),
            abandoned,
        )
    return dataclasses.replace(typed, catalogue=catalogue)


def _with_columns(visit: Visit, typed: TrainForm, abandoned: threading.Event) -> TrainForm:
    table = typed.catalogue.table
    if not table:
        msg = "Choose a table, then its columns are shown."
        raise SandboxError(msg)
    found = _read_tables(visit, abandoned, table)
    columns = {column.name: column.type for column in found.columns}
    tables = typed.catalogue.tables or ((found.table,) if found.table else ())
    return dataclasses.replace(
        typed, catalogue=Catalogue(tables, found.table or table, columns, found.rows, found.left_out)
    )


def _read_tables(visit: Visit, abandoned: threading.Event, table: str | None) -> _Tables:
    code = packages_of(chosen_code(visit))
    answer = visit.tenant.tuning.tables(code, database_of(visit.form), table, abandoned)
    return read_answer(_Tables, answer, "tables")


def _sizes(visit: Visit, typed: TrainForm, abandoned: threading.Event) -> tuple[_Sizes | None, str]:
    """Batch sizes that the rule would choose, and why there are none."""
    if typed.rows is None:
        return None, ""
    try:
        share = float(typed.get("p_of_train") or "0.8")
        asked = {"rows": typed.rows, "p_of_train": share}
        found = read_answer(dict[str, int], ask(visit, abandoned, "batch_sizes", request=asked), "batch_sizes")
        return _Sizes(typed.rows, found["train"], found["test"]), ""
    except (ValueError, KeyError):
        return None, "The share of rows that train must be a number between 0 and 1, such as 0.8."
    except SandboxError as error:
        return None, str(error)


def _arguments(visit: Visit, abandoned: threading.Event) -> Response:
    """List the training arguments with their defaults; htmx gets the choices of the form's fields alone."""
    found = read_answer(list[_Argument], ask(visit, abandoned, "arguments"), "arguments")
    template = "train_argument_names.html" if is_renewal(visit.request) else "train_argument_list.html"
    return visit.render(template, arguments=found, code=chosen_code(visit))


ROUTES = (
    page(TRAIN, _new_form),
    page(TRAIN, waits_for_model(_send), method="POST"),
    page(f"{TRAIN}/arguments", waits_for_model(_arguments)),
)
