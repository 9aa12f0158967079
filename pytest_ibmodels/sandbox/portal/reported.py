"""Reports of a job, checked: its code may report anything."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ibmodels.sandbox.storage.tables import Job

MOST_LINES = 6
"""Lines of a plot, which differ both in colour and in shape."""
_MOST_PANELS = 12
_MOST_POINTS = 400
_MOST_ROWS = 200


@dataclass(frozen=True)
class Curve:
    """A curve: its points as (x, y), in the order of x."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """A plot of one metric, or of the loss; ``left_out`` is the number of curves that it does not show."""

    title: str
    x: str
    curves: tuple[Curve, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Metric:
    """A value of a metric; ``low`` and ``high`` are the ends of its interval, if it has one."""

    name: str
    field: str
    value: float | str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Reported:
    """Reports of a job so far; ``progress`` is 0..1, or None if it is not reported."""

    progress: float | None
    panels: tuple[Panel, ...]
    metrics: tuple[Metric, ...]


def reported(job: Job) -> Reported:
    """Read the reports of a job; what is malformed is left out."""
    data = _mapping(job.task_data)
    progress = finite(data.get("progress"))
    found = data if "evaluation_results" in data else _result(job)
    return Reported(
        None if progress is None else min(max(progress, 0.0), 1.0),
        tuple(_panels(data))[:_MOST_PANELS],
        tuple(_metrics(found))[:_MOST_ROWS],
    )


def _result(job: Job) -> Mapping[str, Any]:
    first = job.results[0] if job.results else {}
    return _mapping(_mapping(first).get("result"))


def _panels(data: Mapping[str, Any]) -> list[Panel]:
    points = [_mapping(point) for key in ("history", "evaluations") for point in _sequence(data.get(key))]
    x = next((name for name in ("step", "epoch") if all(finite(point.get(name)) is not None for point in points)), None)
    if not points or x is None:
        return []
    values: dict[str, dict[str, dict[float, float]]] = {}
    for point in points:
        at = finite(point[x]) or 0.0
        named = [("loss", "loss", point.get("loss")), *_flat(point.get("metrics"))]
        for title, field, value in named:
            number = finite(value)
            if number is not None:
                values.setdefault(title, {}).setdefault(field, {})[at] = number
    panels = []
    for title, fields in values.items():
        curves = [Curve(field, _thinned(sorted(points.items()))) for field, points in fields.items()]
        drawn = [curve for curve in curves if len(curve.points) > 1]
        if drawn:
            panels.append(Panel(title, x, tuple(drawn[:MOST_LINES]), max(0, len(drawn) - MOST_LINES)))
    return panels


def _thinned(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    stride = math.ceil(len(points) / _MOST_POINTS) or 1
    kept = points[::stride]
    return tuple(kept if kept[-1] == points[-1] else [*kept, points[-1]])


def _metrics(data: Mapping[str, Any]) -> list[Metric]:
    bounds = {
        (name, field): [finite(end) for end in value]
        for name, field, value in _flat(data.get("evaluation_intervals"))
        if isinstance(value, list) and len(value) == 2
    }
    found = []
    for name, field, value in _flat(data.get("evaluation_results")):
        number = finite(value)
        shown = value if isinstance(value, str) else number
        if shown is not None:
            low, high = bounds.get((name, field), (None, None))
            found.append(Metric(name, field, shown, low, high))
    return found


def _flat(metrics: object) -> list[tuple[str, str, object]]:
    """Return metric, field and value of each; a metric without fields has the field ``all``."""
    found: list[tuple[str, str, object]] = []
    for name, fields in _mapping(metrics).items():
        if isinstance(fields, Mapping):
            found += [(str(name), str(field), value) for field, value in fields.items()]
        else:
            found.append((str(name), "all", fields))
    return found


def finite(value: object) -> float | None:
    """Number of a report; None for anything else, and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
