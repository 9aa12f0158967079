"""Levels of series: every persistent shift, to worse values or to better ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.history.cases import cases_of, mean_of
from pytest_ibmodels.history.trend import level_starts, new_drops
from pytest_ibmodels.verdicts.metrics import is_low_better

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.history.trend import Drop

Field = tuple[str, str]
"""Names of a metric and of its field."""


@dataclass(frozen=True)
class LevelShift:
    """A persistent shift of a series.

    Attributes:
        since: the first run of the new level.
        shown_by: the run at which a shift to worse values became significant; None for a shift to better ones.
    """

    since: StoredRun
    shown_by: StoredRun | None

    @property
    def is_worse(self) -> bool:
        return self.shown_by is not None


@dataclass(frozen=True)
class Shifts:
    """The shifts of a series, oldest first, and the drop of its newest value if the series is short."""

    shifts: tuple[LevelShift, ...] = ()
    drop: Drop | None = None


def shifts_of(runs: Iterable[StoredRun], wanted: Iterable[Field], min_shift: float) -> dict[Field, Shifts]:
    """Return the trends of metrics and their fields, as pytest's warnings see them.

    Args:
        runs: comparable runs of one model test in one environment: same test part, same config.
        wanted: metrics and fields to look at. The others of the same metrics count for Holm's correction.
        min_shift: smallest shift of a metric.
    """
    ended = sorted(
        (run for run in runs if run.verdict != "error" and run.metrics),
        key=lambda run: (run.started, run.repeat, run.id),
    )
    cases = cases_of(ended)
    wanted = list(wanted)
    if not cases:
        return dict.fromkeys(wanted, Shifts())
    reported = [(metric.metric, metric.field) for metric in cases[-1][-1].metrics]
    found: dict[Field, Shifts] = {}
    for name in dict.fromkeys(metric for metric, _ in wanted):
        fields = [field for metric, field in reported if metric == name]
        # A field that the newest run does not have belongs to no test of the newest run.
        old = [field for metric, field in wanted if metric == name and field not in fields]
        for together in (fields, *([field] for field in old)):
            if together:
                found |= _trends(cases, name, together, min_shift)
    return {key: found[key] for key in wanted}


def _trends(
    cases: Sequence[Sequence[StoredRun]], metric: str, fields: Sequence[str], min_shift: float
) -> dict[Field, Shifts]:
    means = {field: [mean_of(case, metric, field) for case in cases] for field in fields}
    values = {field: [None if mean is None else mean.value for mean in several] for field, several in means.items()}
    counts = {field: last.count for field, several in means.items() if (last := several[-1]) and last.count}
    is_low = is_low_better(metric)
    starts = level_starts(values, low_is_better=is_low, min_shift=min_shift)
    drops = new_drops(values, low_is_better=is_low, min_shift=min_shift, counts=counts)
    return {
        (metric, field): Shifts(
            tuple(
                LevelShift(cases[start.run][0], None if start.alert is None else cases[start.alert.run][-1])
                for start in starts[field]
            ),
            drops.get(field),
        )
        for field in fields
    }
