"""Pages that try a model: a text to a classifier, a document to an extraction model."""

import threading
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.portal.drawing import draw_page
from pytest_ibmodels.sandbox.portal.predictions import fields_of, pages_of, record_of_text, scores_of
from pytest_ibmodels.sandbox.portal.tuned import ask, chosen_code, listed_models, waits_for_model
from pytest_ibmodels.sandbox.portal.visits import Visit, page
from pytest_ibmodels.sandbox.services.records import read_record
from pytest_ibmodels.sandbox.storage.paths import DrivePath

TRY = "/portal/try"
_TUNED, _SERVED = "tuned:", "served:"
_MAX_DOCUMENT = 64 * 2**20
_TYPED_TEXT = DrivePath(("typed text",))


@dataclass(frozen=True)
class _Entry:
    """An entry of a folder of the drive."""

    name: str
    path: str
    is_folder: bool


def _page_of_both(visit: Visit, abandoned: threading.Event) -> Response:
    """Show both forms."""
    return _both(visit, abandoned)


def _try_text(visit: Visit, abandoned: threading.Event) -> Response:
    """Ask a model about a text."""
    try:
        answer = _answer_text(visit, abandoned)
    except SandboxError as error:
        return _both(visit, abandoned, problem=str(error))
    return _both(visit, abandoned, scores=scores_of(answer), answer=answer)


def _try_document(visit: Visit, abandoned: threading.Event) -> Response:
    """Ask an extraction model about a record of a document."""
    try:
        record, result = _answer_document(visit, abandoned)
    except SandboxError as error:
        return _both(visit, abandoned, document_problem=str(error))
    fields = fields_of(result, record["text"])
    drawn = [(one, draw_page(one)) for one in pages_of(record, result, fields)]
    return _both(visit, abandoned, drawn=drawn, fields=fields, document_scores=scores_of(result), result=result)


def _answer_text(visit: Visit, abandoned: threading.Event) -> Any:
    text, model = visit.form.fields.get("text", ""), visit.form.get("model")
    if not text.strip():
        msg = "Type a text, then the model is asked about it."
        raise SandboxError(msg)
    if model.startswith(_TUNED):
        request = {"inputs": text, "top_k": None}
        return ask(visit, abandoned, "predict", model.removeprefix(_TUNED), request)
    return _run(visit, abandoned, model, _TYPED_TEXT, record_of_text(text.replace("\r\n", "\n")))


def _answer_document(visit: Visit, abandoned: threading.Event) -> tuple[dict[str, Any], dict[str, Any]]:
    path = DrivePath.parse(visit.form.get("document"))
    index = visit.form.get("record") or "1"
    if not index.isascii() or not index.isdigit() or not 1 <= int(index) <= 10_000:
        msg = f"The record is a number from 1, not {index[:60]!r}."
        raise SandboxError(msg)
    info = visit.tenant.drive.info(path)
    if info is not None and info.type == "file" and (info.size or 0) > _MAX_DOCUMENT:
        msg = f"'{path}' has more than {_MAX_DOCUMENT // 2**20} MiB: run the model over the API."
        raise SandboxError(msg)
    record = read_record(visit.tenant.drive, path, int(index) - 1)
    return record, _run(visit, abandoned, visit.form.get("model"), path, record)


def _run(
    visit: Visit, abandoned: threading.Event, model: str, document: DrivePath, record: dict[str, Any]
) -> dict[str, Any]:
    name = model.removeprefix(_SERVED)
    found = visit.tenant.store.models.get(name) if model.startswith(_SERVED) else None
    if found is None:
        msg = f"There is no model {name[:100]!r}: choose one." if name else "Choose a model."
        raise SandboxError(msg)
    return visit.tenant.models.run(name, DrivePath.parse(found.model_path), document, record, abandoned)


def _both(visit: Visit, abandoned: threading.Event, **values: Any) -> Response:
    """Render the page, with what was typed and the answer, if there is one."""
    typed = {name: visit.form.get(name) or visit.query(name) for name in ("model", "document", "record")}
    tuned, tuned_problem = [], ""
    try:
        tuned = [model.model_name for model in listed_models(visit, abandoned)]
    except SandboxError as error:
        tuned_problem = str(error)
    folder, entries, folder_problem = _folder(visit)
    empty = {"problem": "", "document_problem": "", "scores": [], "drawn": [], "fields": [], "document_scores": []}
    has_problem = bool(values.get("problem") or values.get("document_problem"))
    return visit.render(
        "try.html",
        409 if has_problem else 200,
        tuned=tuned,
        tuned_problem=tuned_problem,
        served=[model.name for model in visit.tenant.store.models.all()],
        text=visit.form.fields.get("text", ""),
        folder=folder,
        entries=entries,
        folder_problem=folder_problem,
        code=chosen_code(visit),
        **{**empty, "answer": None, "result": None, **typed, **values},
    )


def _folder(visit: Visit) -> tuple[str, list[_Entry], str]:
    """Folder of the drive that the page lists, its entries, and why there are none."""
    parts = tuple(part for part in visit.query("folder").split("/") if part)
    try:
        path = DrivePath.parse("/".join(parts)) if parts else DrivePath(())
        found, _more = visit.tenant.drive.page(path, "")
    except SandboxError as error:
        return "", [], str(error)
    entries = [_Entry(info.path.name, str(info.path), info.type == "folder") for info in found]
    return "/".join(parts), entries, ""


ROUTES = (
    page(TRY, waits_for_model(_page_of_both)),
    page(f"{TRY}/text", waits_for_model(_try_text), method="POST"),
    page(f"{TRY}/document", waits_for_model(_try_document), method="POST"),
)
