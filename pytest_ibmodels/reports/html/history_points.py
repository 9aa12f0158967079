"""A series of the history as its page shows it: points, levels, bounds and releases; nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from pytest_ibmodels.history.cases import cases_of
from pytest_ibmodels.history.series import change_of
from pytest_ibmodels.reports.html.formats import NOTHING, duration, plain
from pytest_ibmodels.verdicts.better import tolerance
from pytest_ibmodels.verdicts.metrics import is_low_better

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ibmodels.history.levels import Shifts
    from pytest_ibmodels.history.runs import StoredMetric, StoredRun
    from pytest_ibmodels.history.series import Series, SeriesKey


@dataclass(frozen=True)
class CasePoint:
    """A value of a series: that of a run, or the mean over the repeats of a case.

    Attributes:
        number: position in the series, from 1.
        run: the run, or the first repeat.
        values: value of each repeat that has one; the same as `value` without repeats.
        low, high: the 95 % interval; None if it is unknown, as it is for a mean.
        seconds: wall time of the training; the longest of repeats, which run at once.
        run_ids: ids of the run, or of all repeats.
    """

    number: int
    run: StoredRun
    value: float | None
    values: tuple[float, ...]
    low: float | None
    high: float | None
    minimum: float | None
    maximum: float | None
    seconds: float | None
    run_ids: frozenset[str]

    @property
    def when(self) -> str:
        return f"{self.run.started:%Y-%m-%d %H:%M} UTC"

    @property
    def commit(self) -> str:
        return self.run.commit[:9] + ("*" if self.run.commit and self.run.is_dirty else "")

    @property
    def url(self) -> str:
        """Page of the CI run; empty if there is none."""
        return self.run.ci_run if self.run.ci_run.startswith(("https://", "http://")) else ""

    @property
    def interval(self) -> str:
        return NOTHING if self.low is None or self.high is None else f"{plain(self.low)} to {plain(self.high)}"

    @property
    def repeats(self) -> str:
        return ", ".join(map(plain, self.values)) if self.run.repeats > 1 else ""

    @property
    def took(self) -> str:
        return duration(self.seconds)

    @property
    def title(self) -> str:
        """The point in words."""
        run = self.run
        facts = [
            f"run {self.number}",
            self.when,
            f"commit {self.commit}" if run.commit else "",
            f"version {run.version}" if run.version else "",
            run.verdict,
            f"{plain(self.value)} ({self.repeats})" if self.repeats else plain(self.value),
            "" if self.minimum is None else f"at least {plain(self.minimum)}",
            "" if self.maximum is None else f"at most {plain(self.maximum)}",
        ]
        return ", ".join(filter(None, facts))


@dataclass(frozen=True)
class Level:
    """Values between two shifts.

    Attributes:
        first, last: numbers of the first and the last point.
        mean: mean of their values.
        is_worse: the shift that begins this level is one to worse values; None for the first level.
        shown_by: point at which that shift became significant; None for a shift to better values.
    """

    first: int
    last: int
    mean: float
    is_worse: bool | None = None
    shown_by: CasePoint | None = None


@dataclass(frozen=True)
class SeriesLine:
    """A series with its points, one per case.

    Attributes:
        levels: without a shift empty.
        has_ended: newer runs of this model test on this environment belong to another series.
    """

    key: SeriesKey
    note: str
    points: tuple[CasePoint, ...]
    levels: tuple[Level, ...] = ()
    has_ended: bool = False

    @property
    def last(self) -> CasePoint:
        return self.points[-1]

    @property
    def change(self) -> float | None:
        """The last value minus the median of those before."""
        return change_of([point.value for point in self.points])

    @property
    def is_reached(self) -> bool | None:
        """True if the last value is within its bounds; None without a bound."""
        value, minimum, maximum = self.last.value, self.last.minimum, self.last.maximum
        if minimum is None and maximum is None:
            return None
        if value is None:
            return False
        is_low = minimum is not None and value < minimum - tolerance(minimum)
        return not is_low and not (maximum is not None and value > maximum + tolerance(maximum))

    @property
    def badness(self) -> tuple[bool, bool, float]:
        """Key to sort by, worst first: ended series last, missed bounds first, then by the change to worse values."""
        sign = -1.0 if is_low_better(self.key.metric) else 1.0
        return self.has_ended, self.is_reached is not False, sign * (self.change or 0.0)

    @property
    def releases(self) -> Iterator[tuple[int, str]]:
        """Number of the first run of each version of the package but the first, and the version."""
        with_version = [point for point in self.points if point.run.version]
        for before, point in pairwise(with_version):
            if before.run.version != point.run.version:
                yield point.number, point.run.version


def line_of(series: Series, *, has_ended: bool) -> SeriesLine:
    """Return the points of a series; the repeats of a case are one point."""
    metrics = {point.run.id: point.metric for point in series.points}
    cases = enumerate(cases_of([point.run for point in series.points]), start=1)
    points = tuple(_point(number, case, [metrics[run.id] for run in case]) for number, case in cases)
    return SeriesLine(series.key, series.note, points, has_ended=has_ended)


def _point(number: int, case: Sequence[StoredRun], metrics: Sequence[StoredMetric]) -> CasePoint:
    values = tuple(metric.value for metric in metrics if metric.value is not None)
    is_single = case[0].repeats == 1
    return CasePoint(
        number=number,
        run=case[0],
        value=(values[0] if is_single else fmean(values)) if values else None,
        values=values,
        low=metrics[0].low if is_single else None,
        high=metrics[0].high if is_single else None,
        minimum=metrics[0].minimum,
        maximum=metrics[0].maximum,
        seconds=max((run.seconds for run in case if run.seconds is not None), default=None),
        run_ids=frozenset(run.id for run in case),
    )


def levels_of(line: SeriesLine, trend: Shifts) -> tuple[Level, ...]:
    """Return the levels between the shifts of a series; none without a shift."""
    points = {run: point for point in line.points for run in point.run_ids}
    shifts = [(points[shift.since.id].number, shift) for shift in trend.shifts if shift.since.id in points]
    if not shifts:
        return ()
    levels = [Level(1, shifts[0][0] - 1, _mean(line, 1, shifts[0][0] - 1))]
    ends = [*(number - 1 for number, _ in shifts[1:]), len(line.points)]
    for (first, shift), last in zip(shifts, ends, strict=True):
        shown_by = None if shift.shown_by is None else points.get(shift.shown_by.id)
        levels.append(Level(first, last, _mean(line, first, last), shift.is_worse, shown_by))
    return tuple(levels)


def _mean(line: SeriesLine, first: int, last: int) -> float:
    """Return the mean of some points, without those of runs that ended in an error."""
    known = [(point.value, point.run.verdict) for point in line.points[first - 1 : last] if point.value is not None]
    return fmean([value for value, verdict in known if verdict != "error"] or [value for value, _ in known])
