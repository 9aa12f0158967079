"""Form of a training, filled in with the request of an earlier one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.portal.database_fields import DATABASE, shown_database
from pytest_ibmodels.sandbox.portal.train_form import (
    DEFAULT_SHARE,
    EMPTY_ROWS,
    MAX_ROWS,
    Catalogue,
    TrainForm,
    read_value,
)
from pytest_ibmodels.sandbox.samples import DATABASES, sample_database
from pytest_ibmodels.sandbox.services.job_requests import ShownRequest, request_of
from pytest_ibmodels.sandbox.services.tenant import Tenant
from pytest_ibmodels.sandbox.services.tuning import TRAIN_FUNCTION
from pytest_ibmodels.sandbox.storage.mounts import SAMPLE_PREFIX
from pytest_ibmodels.sandbox.storage.tables import TRAIN, Job

_RECENT_TRAININGS = 50
_SIDES = ("group_column", "split_column")
_FIELDS = ("table", "columns", "limit", "p_of_train", *_SIDES)


def tuning_request(job: Job | None) -> ShownRequest | None:
    """Return the request of a job that tunes a model; None for other jobs."""
    request = request_of(job) if job is not None and job.kind == TRAIN else None
    return request if request is not None and request.function.endswith(f".{TRAIN_FUNCTION}") else None


def newest_tuning(tenant: Tenant, model: str | None = None) -> tuple[str, ShownRequest] | None:
    """Return id and request of the newest tuning job, of one model or of all; None if no recent training is one."""
    for row in tenant.job_listing.page(_RECENT_TRAININGS, model=model, kind=TRAIN).rows:
        request = tuning_request(tenant.store.job(row.id))
        if request is not None:
            return row.id, request
    return None


def earlier_form(request: ShownRequest, samples: Path) -> TrainForm:
    """Return the form that makes this request again; the password is in none of its fields.

    Args:
        request: Request of a tuning job.
        samples: Folder of the generated samples.
    """
    settings, asked = (_mapping(request.arguments.get(name)) for name in ("settings", "request"))
    database = _typed_database(str(request.arguments.get(DATABASE) or ""), samples)
    shown = shown_database(database)
    columns = _columns(asked.get("columns"))
    side = next((name for name in _SIDES if asked.get(name)), "")
    fields = {
        DATABASE: shown,
        **{name: _typed(settings.get(name)) for name in ("model_name", "num_labels", "base_model")},
        **dict(zip(("label", "text"), columns, strict=False)),
        "side_field": side,
        "side_column": _typed(asked.get(side)),
        "limit": _typed(asked.get("limit")),
        "p_of_train": _typed(asked.get("p_of_train")) or DEFAULT_SHARE,
    }
    arguments = tuple((name, _typed(value)) for name, value in asked.items() if name not in _FIELDS)[:MAX_ROWS]
    table = _typed(asked.get("table"))
    # Their types come with the next look into the database.
    named = dict.fromkeys([*columns, *([fields["side_column"]] if side else [])], "")
    catalogue = Catalogue((table,), table, named) if table else Catalogue()
    return TrainForm(fields, arguments, catalogue, shown != database, max(EMPTY_ROWS, len(arguments)))


def _typed_database(database: str, samples: Path) -> str:
    """Return the database as a person types it: a sample by its name."""
    if str(samples) in database:
        for name in DATABASES:
            if database == sample_database(name, samples):
                return f"{SAMPLE_PREFIX}{name}"
    return database


def _columns(columns: object) -> list[str]:
    names = columns.split(",") if isinstance(columns, str) else columns if isinstance(columns, list) else []
    return [str(name).strip() for name in names[:2]]


def _typed(value: object) -> str:
    """Return the text that the form reads as this value; empty for None."""
    if value is None:
        return ""
    return value if isinstance(value, str) and read_value(value) == value else json.dumps(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
