"""Runs as JSON lines, one run a line, by which histories travel between machines."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pytest_ibmodels.history.errors import HistoryError
from pytest_ibmodels.history.runs import StoredMetric, StoredRun
from pytest_ibmodels.verdicts.results import from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_ibmodels.verdicts.results import Results

FORMAT = 1
"""Version of the lines, in each of them."""


def line_of(run: StoredRun) -> str:
    """Return a run as one line, without the line break."""
    values = asdict(run) | {"started": run.started.isoformat()}
    return json.dumps({"format": FORMAT, **values}, allow_nan=False)


def runs_of(lines: Iterable[str]) -> Iterator[StoredRun]:
    """Parse and check lines; blank lines are skipped.

    Raises:
        HistoryError: a line is no run, or was written by a newer version.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _run(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise HistoryError(f"line {number} is not a run of an exported history: {error}") from None


def _run(given: Any) -> StoredRun:
    if not isinstance(given, dict):
        raise ValueError("it is not a JSON object")
    version = given.pop("format", None)
    if isinstance(version, int) and version > FORMAT:
        raise ValueError(f"it has format {version}, of a newer version of pytest-ibmodels: update pytest-ibmodels")
    if version != FORMAT:
        raise ValueError(f"its format is {version!r}, not {FORMAT}")
    metrics = given.pop("metrics", [])
    if not isinstance(metrics, list):
        raise ValueError("its 'metrics' is not a list")
    started = given.pop("started", None)
    if not isinstance(started, str):
        raise ValueError("its 'started' is not a time")
    documents = given.pop("documents", None)
    values = _checked(StoredRun, given, skip=("started", "metrics", "documents"))
    return StoredRun(
        **values,
        started=datetime.fromisoformat(started),
        metrics=tuple(_metric(metric) for metric in metrics),
        documents=None if documents is None else _documents(documents),
    )


def _documents(given: Any) -> Results:
    try:
        return from_json(given)
    except (TypeError, AttributeError, ValueError):
        raise ValueError("its 'documents' are no results of documents") from None


def _metric(given: Any) -> StoredMetric:
    if not isinstance(given, dict):
        raise ValueError("one of its metrics is not a JSON object")
    return StoredMetric(**_checked(StoredMetric, given))


def _checked(kind: type[StoredRun | StoredMetric], given: dict[str, Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return ``given``, if it has the fields of the dataclass with values of their types.

    Raises:
        ValueError: a field is missing, unknown, or has a value of another type.
    """
    types = get_type_hints(kind)
    known = {field.name: field for field in fields(kind) if field.name not in skip}
    for name in given.keys() - known.keys():
        raise ValueError(f"{name!r} is not known")
    for name, field in known.items():
        if name in given:
            if not _has_type(given[name], types[name]):
                raise ValueError(f"its {name!r} is {json.dumps(given[name])[:60]}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"it has no {name!r}")
    return given


def _has_type(value: Any, kind: Any) -> bool:
    plain = {one for one in (get_args(kind) or (kind,)) if isinstance(one, type)}
    if value is None:
        return NoneType in plain
    if isinstance(value, bool) or not isinstance(value, int | float):
        return type(value) in plain
    return float in plain or (isinstance(value, int) and int in plain)
