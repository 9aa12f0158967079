"""Trend of a series: alerts for persistent shifts to worse values, once per shift.

A run is judged by replaying its series from the first run on, with only the values that each run knew. So the same
history always gives the same alerts, and nothing has to be stored about alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.history.shifts import FEWEST_RUNS, LONGEST, Level, Shift
from pytest_ibmodels.history.statistics import holm, may_fall, mean_and_spread, prediction_bound, probability_below

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEWEST_FOR_BOUND = 5
"""Fewest earlier values for a prediction bound."""

MIN_SHIFT = 0.01
"""Smallest shift that is alerted: one point of 100."""

ALPHA = 0.002
"""Probability of an alert for a run of an unchanged series, over all fields of its metric. `benchmarks/history.py`
measures what comes of it."""

DROP_ALPHA = 0.003
"""The same for runs of a series that is still too short for change points."""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Drop:
    """A newest value beyond the prediction bound of a short series.

    Attributes:
        start: index of the newest run.
        before: mean of the earlier values.
        after: the newest value.
        bound: prediction bound of the earlier values.
        p_value: probability of a value at least as bad in an unchanged series.
    """

    start: int
    before: float
    after: float
    bound: float
    p_value: float

    @property
    def size(self) -> float:
        """Distance of the newest value from the earlier mean; always positive."""
        return abs(self.before - self.after)


@dataclass(frozen=True)
class Alert:
    """A shift, and the run that shows it.

    Attributes:
        run: index of the run at which the shift became significant.
        shift: the shift.
    """

    run: int
    shift: Shift


@dataclass(frozen=True)
class LevelStart:
    """The first run of a level that differs from the one before.

    Attributes:
        run: index of the run. It may be up to three runs away from the start that the alert names.
        alert: alert of a shift to worse values; None for a shift to better ones.
    """

    run: int
    alert: Alert | None


def new_shift(
    values: Sequence[float], *, low_is_better: bool = False, min_shift: float = MIN_SHIFT, alpha: float = ALPHA
) -> Shift | None:
    """Return the shift that became significant with the newest value; None if there is none, or it is known already.

    Args:
        values: values of the series, oldest first.
        low_is_better: a rise is a shift to worse values, as for a loss (`verdicts.metrics.is_low_better`).
        min_shift: smallest shift that is alerted.
        alpha: probability of a false alert.
    """
    return new_shifts({"": values}, low_is_better=low_is_better, min_shift=min_shift, alpha=alpha).get("")


def new_shifts(
    fields: Mapping[str, Sequence[float | None]],
    *,
    low_is_better: bool = False,
    min_shift: float = MIN_SHIFT,
    alpha: float = ALPHA,
) -> dict[str, Shift]:
    """Return the shifts that became significant with the newest run, by field, with Holm's correction over the fields.

    Args:
        fields: values of each field, oldest first; all of the same runs, with None where a field has no value.
        low_is_better: as for :func:`new_shift`.
        min_shift: as for :func:`new_shift`.
        alpha: probability of any false alert among the fields.

    Raises:
        ValueError: The fields have different numbers of runs.
    """
    newest = _count_of_runs(fields) - 1
    sign = -1.0 if low_is_better else 1.0
    if not any(_may_shift(values, sign, min_shift) for values in fields.values()):
        return {}
    found = all_alerts(fields, low_is_better=low_is_better, min_shift=min_shift, alpha=alpha)
    return {field: alert.shift for field, alerts in found.items() for alert in alerts if alert.run == newest}


def new_drops(
    fields: Mapping[str, Sequence[float | None]],
    *,
    low_is_better: bool = False,
    min_shift: float = MIN_SHIFT,
    alpha: float = DROP_ALPHA,
    counts: Mapping[str, int] | None = None,
) -> dict[str, Drop]:
    """Return the fields of a short series whose newest value is beyond its prediction bound, with Holm's correction.

    Args:
        fields: values of each field, as for :func:`new_shifts`; those with `FEWEST_RUNS` or more are left out.
        low_is_better: as for :func:`new_shift`.
        min_shift: as for :func:`new_shift`.
        alpha: probability of any false alert among the fields.
        counts: number of documents or rows of each field, for values that can only be multiples of `1 / count`.
    """
    sign = -1.0 if low_is_better else 1.0
    drops: dict[str, Drop] = {}
    for field, values in fields.items():
        known = [sign * value for value in values if value is not None]
        if not FEWEST_FOR_BOUND < len(known) < FEWEST_RUNS or values[-1] is None:
            continue
        count = (counts or {}).get(field)
        step = 1 / count if count else 0.0
        *earlier, value = known
        before = mean_and_spread(earlier)[0]
        if before - value >= min_shift - _ROUNDING:
            p_value = probability_below(earlier, value, step)
            bound = sign * prediction_bound(earlier, 1 - alpha, step)
            drops[field] = Drop(len(values) - 1, sign * before, sign * value, bound, p_value)
    chosen = _significant({field: drop.p_value for field, drop in drops.items()}, len(fields), alpha)
    return {field: drop for field, drop in drops.items() if field in chosen}


def all_alerts(
    fields: Mapping[str, Sequence[float | None]],
    *,
    low_is_better: bool = False,
    min_shift: float = MIN_SHIFT,
    alpha: float = ALPHA,
) -> dict[str, list[Alert]]:
    """Return every alert of a history by field, in the order of the runs; arguments as for :func:`new_shifts`."""
    found = level_starts(fields, low_is_better=low_is_better, min_shift=min_shift, alpha=alpha)
    return {field: [start.alert for start in starts if start.alert is not None] for field, starts in found.items()}


def level_starts(
    fields: Mapping[str, Sequence[float | None]],
    *,
    low_is_better: bool = False,
    min_shift: float = MIN_SHIFT,
    alpha: float = ALPHA,
) -> dict[str, list[LevelStart]]:
    """Return every shift of a history by field, in the order of the runs; arguments as for :func:`new_shifts`."""
    count = _count_of_runs(fields)
    sign = -1.0 if low_is_better else 1.0
    levels = {field: Level(values, sign, min_shift, alpha / len(fields)) for field, values in fields.items()}
    alerts: dict[str, dict[int, Alert]] = {field: {} for field in fields}
    for run in range(count):
        found: dict[str, Shift] = {}
        for field, values in fields.items():
            shift = levels[field].add(run, values[run])
            if shift is not None:
                found[field] = shift
        for field in _significant({name: shift.p_value for name, shift in found.items()}, len(fields), alpha):
            alerts[field][len(levels[field].starts)] = Alert(run, found[field])
            levels[field].restart(found[field].start)
    return {
        field: [LevelStart(run, alerts[field].get(number)) for number, run in enumerate(level.starts)]
        for field, level in levels.items()
    }


def change_points(values: Sequence[float | None], *, min_shift: float = MIN_SHIFT, alpha: float = ALPHA) -> list[int]:
    """Return the indices of the runs from which on the level of a series is another, in either direction.

    Each run is judged with what was known at that time, as for alerts, so that every alert belongs to a change point.
    Later runs may show that it is up to three runs away from the start that the alert named.
    """
    level = Level(values, 1.0, min_shift, alpha)
    for run, value in enumerate(values):
        shift = level.add(run, value)
        if shift is not None and shift.p_value <= alpha:
            level.restart(shift.start)
    return level.starts


def _count_of_runs(fields: Mapping[str, Sequence[float | None]]) -> int:
    counts = {len(values) for values in fields.values()}
    if len(counts) > 1:
        raise ValueError("the fields have different numbers of runs: use None where a field has no value")
    return max(counts, default=0)


def _may_shift(values: Sequence[float | None], sign: float, min_shift: float) -> bool:
    """False if the newest value completes no shift, wherever the present level began.

    This spares most runs the replay of their series, which draws permutations for every earlier run.
    """
    if not values or values[-1] is None:
        return False
    known = [sign * value for value in values if value is not None]
    return may_fall(known[-LONGEST:], FEWEST_RUNS, min_shift)


def _significant(p_values: Mapping[str, float], tests: int, alpha: float) -> list[str]:
    """Names of the significant ones among so many tests; those without a p-value are not significant."""
    names = list(p_values)
    padded = [*p_values.values(), *[1.0] * (tests - len(names))]
    return [name for name, is_significant in zip(names, holm(padded, alpha), strict=False) if is_significant]
