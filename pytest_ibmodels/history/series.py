"""Series: values of a metric over time that may be compared with each other."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_ibmodels.history.runs import StoredMetric, StoredRun


class SeriesKey(NamedTuple):
    """Facts that all values of a series share."""

    test: str
    environment: str
    metric: str
    field: str
    fingerprint: str
    config_hash: str


@dataclass(frozen=True)
class Point:
    """A value of a series, and its run."""

    run: StoredRun
    metric: StoredMetric


@dataclass(frozen=True)
class Series:
    """Values that may be compared, in the order of their runs.

    Attributes:
        points: at least one.
        note: where and why this series starts; empty for the first series of a metric's field.
    """

    key: SeriesKey
    points: tuple[Point, ...]
    note: str = ""

    @property
    def values(self) -> list[float]:
        """The values that are known, oldest first."""
        return [point.metric.value for point in self.points if point.metric.value is not None]

    @property
    def last(self) -> Point:
        return self.points[-1]


def series_key(run: StoredRun, metric: StoredMetric) -> SeriesKey:
    """Return the key of the series that a value belongs to."""
    return SeriesKey(run.test, run.environment, metric.metric, metric.field, run.fingerprint, run.config_hash)


def change_of(values: Sequence[float | None]) -> float | None:
    """Return the last value minus the median of the values before it; None if either is unknown."""
    last, before = values[-1], [value for value in values[:-1] if value is not None]
    return None if last is None or not before else last - median(before)


def series_of(runs: Iterable[StoredRun]) -> list[Series]:
    """Return the series of runs of one project.

    A changed test part or config starts a new series. Runs that go back to an earlier test part and config continue
    the earlier series.

    Returns:
        Series by model test, environment, and the order in which their metrics were first reported; those of the same
        field in the order of their start.
    """
    points: dict[SeriesKey, list[Point]] = {}
    notes: dict[SeriesKey, str] = {}
    before: dict[tuple[str, ...], SeriesKey] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.repeat, run.id)):
        for metric in run.metrics:
            key = series_key(run, metric)
            if key not in points:
                notes[key] = _note(before.get(key[:4]), key, run)
            points.setdefault(key, []).append(Point(run, metric))
            before[key[:4]] = key
    return [Series(key, tuple(points[key]), notes[key]) for key in _sorted(list(points))]


def _note(before: SeriesKey | None, key: SeriesKey, run: StoredRun) -> str:
    if before is None:
        return ""
    changed = [
        f"the {name} changed"
        for name, old, new in (
            ("test part", before.fingerprint, key.fingerprint),
            ("config", before.config_hash, key.config_hash),
        )
        if old != new
    ]
    commit = f", commit {run.commit[:9]}" if run.commit else ""
    return f"new series from {run.started:%Y-%m-%d %H:%M} UTC{commit}: {' and '.join(changed)}"


def _sorted(keys: Sequence[SeriesKey]) -> list[SeriesKey]:
    order: dict[tuple[str, ...], int] = {}
    for key in keys:
        order.setdefault(key[:4], len(order))
    return sorted(keys, key=lambda key: (key.test, key.environment, order[key[:4]]))
