"""Pages of tuned models: the list, one model with old and new side by side, override, roll back, discard."""

import threading
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from pytest_ibmodels.sandbox.errors import NoPackageError, SandboxError
from pytest_ibmodels.sandbox.portal.formats import url_part
from pytest_ibmodels.sandbox.portal.forms import Done
from pytest_ibmodels.sandbox.portal.tuned import (
    Model,
    chosen_code,
    label_rows,
    listed_models,
    packages_of,
    shown_model,
    waits_for_model,
)
from pytest_ibmodels.sandbox.portal.visits import Visit, page
from pytest_ibmodels.sandbox.services.promoting import change_model

MODELS = "/portal/models"
_VERDICTS = {
    "better": "The candidate is better",
    "worse": "The candidate is certainly worse",
    "undecided": "These rows do not decide",
    "unknown": "The difference is not known",
}


def _model_list(visit: Visit, abandoned: threading.Event) -> Response:
    """List the tuned models."""
    found, problem, has_code = [], "", True
    try:
        found = listed_models(visit, abandoned)
    except NoPackageError:
        has_code = False
    except SandboxError as error:
        problem = str(error)
    return visit.render("models.html", models=found, problem=problem, has_code=has_code, **_code(visit))


def _one_model(visit: Visit, abandoned: threading.Event) -> Response:
    """Show one model, with the candidate and the model in use side by side."""
    model = shown_model(visit, abandoned, visit.path("name"))
    version = model.waiting or model.in_use
    record = version.record
    return visit.render(
        "model.html",
        model=model,
        compared=version,
        record=record,
        is_damaged=record is None and version.training is not None,
        rows=label_rows(record) if record else [],
        headline=_VERDICTS[model.difference.verdict] if model.difference else "",
        versions=_versions(model),
        jobs_of_model=f"/portal/jobs?{urlencode({'model': model.model_name}, errors='replace')}",
        **_code(visit),
    )


def _ask_to_override(visit: Visit, abandoned: threading.Event) -> Response:
    return _ask(visit, abandoned, "override", "")


def _ask_to_roll_back(visit: Visit, abandoned: threading.Event) -> Response:
    return _ask(visit, abandoned, "rollback", "")


def _ask_to_discard(visit: Visit, abandoned: threading.Event) -> Response:
    return _ask(visit, abandoned, "discard", "")


def _override(visit: Visit, abandoned: threading.Event) -> Response:
    """Put the candidate in use, if both versions are still those that were compared."""
    asked = {
        "expected_in_use": visit.form.get("in_use"),
        "expected_candidate": visit.form.get("candidate"),
        "force": visit.form.get("force") == "yes",
    }
    return _act(visit, abandoned, "override", asked)


def _roll_back(visit: Visit, abandoned: threading.Event) -> Response:
    """Put the previous version in use."""
    asked = {"expected_in_use": visit.form.get("in_use")}
    return _act(visit, abandoned, "rollback", asked)


def _discard(visit: Visit, abandoned: threading.Event) -> Response:
    """Delete the candidate."""
    asked = {"expected_candidate": visit.form.get("candidate")}
    return _act(visit, abandoned, "discard", asked)


_COMPARED = {"override": ("in_use", "candidate"), "rollback": ("in_use",), "discard": ("candidate",)}
"""Versions that must still be those that the person saw."""


def _act(visit: Visit, abandoned: threading.Event, operation: str, asked: dict[str, Any]) -> Response:
    """Run an operation once; it is recorded in the audit."""
    name = visit.path("name")

    def action() -> Done:
        settings, code = {"model_name": name}, packages_of(chosen_code(visit))
        answer = change_model(visit.tenant, visit.who, operation, settings, asked, code, abandoned)
        return Done(str(answer.get("message", "Done.")), _model_url(name, visit))

    return visit.act(action, lambda problem: _ask(visit, abandoned, operation, problem))


def _ask(visit: Visit, abandoned: threading.Event, operation: str, problem: str) -> Response:
    """Ask before an operation; the page carries the versions that the person saw."""
    model = shown_model(visit, abandoned, visit.path("name"))
    now = {"in_use": model.in_use.name, "candidate": model.waiting.name if model.waiting else ""}
    seen = {key: visit.form.get(key) or visit.query(key) or now[key] for key in now}
    return visit.render(
        f"{operation}.html",
        409 if problem else 200,
        model=model,
        problem=problem,
        is_current=all(seen[key] == now[key] for key in _COMPARED[operation]),
        force=visit.form.get("force") == "yes",
        headline=_VERDICTS[model.difference.verdict] if model.difference else "",
        **seen,
        **_code(visit),
    )


def _versions(model: Model) -> list[tuple[str, str, Any]]:
    """Role, name and training of each version."""
    found = [("in use", model.in_use), ("candidate", model.waiting), ("previous", model.previous)]
    return [(role, version.name, version.record) for role, version in found if version is not None]


def _code(visit: Visit) -> dict[str, str]:
    """Values of the templates: the chosen code, and the query of links that keep the choice."""
    code = chosen_code(visit)
    is_chosen = "code" in visit.request.query_params or "code" in visit.form.fields
    return {"code": code, "code_query": urlencode({"code": code}, errors="replace") if is_chosen else ""}


def _model_url(name: str, visit: Visit) -> str:
    query = _code(visit)["code_query"]
    return f"{MODELS}/{url_part(name)}" + (f"?{query}" if query else "")


_ONE = MODELS + "/{name}"
ROUTES = (
    page(MODELS, waits_for_model(_model_list)),
    page(_ONE, waits_for_model(_one_model)),
    page(f"{_ONE}/override", waits_for_model(_ask_to_override)),
    page(f"{_ONE}/override", waits_for_model(_override), method="POST"),
    page(f"{_ONE}/rollback", waits_for_model(_ask_to_roll_back)),
    page(f"{_ONE}/rollback", waits_for_model(_roll_back), method="POST"),
    page(f"{_ONE}/discard", waits_for_model(_ask_to_discard)),
    page(f"{_ONE}/discard", waits_for_model(_discard), method="POST"),
)
