"""Trend of a series: alerts for persistent shifts to worse values, once per shift.

A run is judged by replaying its series from the first run on, with only the values that each run knew. So the same
history always gives the same alerts, and nothing has to be stored about alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_ibmodels.history.statistics import (
    Cut,
    Split,
    best_cuts,
    clearest_cut,
    holm,
    may_fall,
    mean_and_spread,
    prediction_bound,
    probability_below,
    screen,
    split_at,
    split_p_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEWEST_RUNS = 12
"""Fewest values of a series for change points; below, the newest value is held to its prediction bound."""

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

_REACH = 3
"""Most runs by which the first estimate of a level's start is corrected."""

_SETTLED = 4
"""Values after which the start of a new level is no longer corrected: later ones may belong to yet another level."""

_LONGEST = 200
"""Most values since the last shift that are looked at, which bounds the time for long series."""


@dataclass(frozen=True)
class Shift:
    """A persistent shift to worse values.

    Attributes:
        start: index of the first run after the shift.
        before: mean of the values before the shift, back to the shift before.
        after: mean of the values from the shift on, at the time of the alert.
        p_value: probability of a shift at least as clear in an unchanged series.
    """

    start: int
    before: float
    after: float
    p_value: float

    @property
    def size(self) -> float:
        """Distance between both means; always positive."""
        return abs(self.before - self.after)


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
    count = _count_of_runs(fields)
    sign = -1.0 if low_is_better else 1.0
    levels = {field: _Level(values, sign, min_shift, alpha / len(fields)) for field, values in fields.items()}
    alerts: dict[str, list[Alert]] = {field: [] for field in fields}
    for run in range(count):
        found: dict[str, Shift] = {}
        for field, values in fields.items():
            shift = levels[field].add(run, values[run])
            if shift is not None:
                found[field] = shift
        for field in _significant({name: shift.p_value for name, shift in found.items()}, len(fields), alpha):
            levels[field].restart(found[field].start)
            alerts[field].append(Alert(run, found[field]))
    return alerts


def change_points(values: Sequence[float | None], *, min_shift: float = MIN_SHIFT, alpha: float = ALPHA) -> list[int]:
    """Return the indices of the runs from which on the level of a series is another, in either direction.

    Each run is judged with what was known at that time, as for alerts, so that every alert belongs to a change point.
    Later runs may show that it is up to three runs away from the start that the alert named.
    """
    level = _Level(values, 1.0, min_shift, alpha)
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
    return may_fall(known[-_LONGEST:], FEWEST_RUNS, min_shift)


def _significant(p_values: Mapping[str, float], tests: int, alpha: float) -> list[str]:
    """Names of the significant ones among so many tests; those without a p-value are not significant."""
    names = list(p_values)
    padded = [*p_values.values(), *[1.0] * (tests - len(names))]
    return [name for name, is_significant in zip(names, holm(padded, alpha), strict=False) if is_significant]


class _Level:
    """Values of a field since its last known shift.

    Each run is judged by the values up to it, but the cuts of all runs of a level are found at once, which is faster.

    Attributes:
        starts: runs at which a level began, but for the first level.
    """

    def __init__(self, series: Sequence[float | None], sign: float, min_shift: float, alpha: float) -> None:
        self._series = [sign * value for value in series if value is not None]
        self._added = 0
        self._cuts_from = -1
        self._cuts: list[tuple[Cut, Cut] | None] = []
        self._first_count = 0
        self._sign = sign
        self._min_shift = min_shift
        self._alpha = alpha
        self.starts: list[int] = []
        # Of the level before and of this level, which starts at `_at`.
        self._runs: list[int] = []
        self._values: list[float] = []
        self._at = 0
        self._first_at = 0
        self._unsettled = 0

    def add(self, run: int, value: float | None) -> Shift | None:
        """Add the value of a run, and return the shift to worse values that may have become significant."""
        if value is None:
            return None
        self._runs.append(run)
        self._values.append(self._sign * value)
        self._added += 1
        self._settle()
        if len(self._values) - self._at < FEWEST_RUNS:
            return None
        values = self._values[self._at :][-_LONGEST:]
        cuts = self._best_cuts(len(values))
        if cuts is None or max(cuts[0].score, -cuts[1].score) < screen(len(values)):
            return None
        fall, rise = (split_at(values, *cut) for cut in cuts)
        if self._follow(values, rise) or not self._is_large(values, fall):
            return None
        p_value = split_p_value(values, fall, self._alpha)
        start = self._runs[len(self._runs) - len(values) + fall.cut]
        return Shift(start, self._sign * fall.before, self._sign * fall.after, p_value)

    def _best_cuts(self, count: int) -> tuple[Cut, Cut] | None:
        """Return the best cuts of the last so many values that were added; those that follow are found in advance."""
        start = self._added - count
        if start != self._cuts_from:
            self._cuts_from = start
            end = start + _LONGEST  # of a longer series, the start moves on with every run
            self._cuts, self._first_count = best_cuts(self._series[start:end], count), count
        return self._cuts[count - self._first_count]

    def restart(self, run: int) -> None:
        """Let a new level start at a run."""
        self.starts.append(run)
        del self._runs[: self._at], self._values[: self._at]
        self._at = self._first_at = self._runs.index(run)
        self._unsettled = _SETTLED

    def _settle(self) -> None:
        """Find the start of a new level again: with the first few of its values it is often some runs off.

        A wrong start would leave values of the old level in the new one, and so show the same shift twice.
        """
        if self._unsettled == 0:
            return
        self._unsettled -= 1
        last = len(self._values) - 1
        cuts = range(max(1, self._first_at - _REACH), min(self._first_at + _REACH, last) + 1)
        self._at = clearest_cut(self._values, cuts)
        self.starts[-1] = self._runs[self._at]

    def _follow(self, values: Sequence[float], rise: Split) -> bool:
        """Let a new level start at a shift to better values, so that the model is held to these from then on.

        Returns:
            True if there is such a shift.
        """
        mirrored = [-value for value in values]
        split = Split(rise.cut, -rise.score, -rise.before, -rise.after)
        if not self._is_large(mirrored, split) or split_p_value(mirrored, split, self._alpha) > self._alpha:
            return False
        self.restart(self._runs[len(self._runs) - len(values) + split.cut])
        return True

    def _is_large(self, values: Sequence[float], split: Split) -> bool:
        """True if the values fall far enough, and not only because of a few outliers."""
        limit = split.before - self._min_shift + _ROUNDING
        return split.after <= limit and median(values[split.cut :]) <= limit
