"""Search of one series for persistent shifts: its present level, and the runs at which levels began."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_ibmodels.history.statistics import Split, best_cuts, clearest_cut, screen, split_at, split_p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.history.statistics import Cut

FEWEST_RUNS = 12
"""Fewest values of a series for change points; below, the newest value is held to its prediction bound."""

_REACH = 3
"""Most runs by which the first estimate of a level's start is corrected."""

_SETTLED = 4
"""Values after which the start of a new level is no longer corrected: later ones may belong to yet another level."""

LONGEST = 200
"""Most values since the last shift that are looked at, which bounds the time for long series."""

_ROUNDING = 1e-12


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


class Level:
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
        values = self._values[self._at :][-LONGEST:]
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
            end = start + LONGEST  # of a longer series, the start moves on with every run
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
        if rise.after - rise.before < self._min_shift - _ROUNDING:
            return False
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
