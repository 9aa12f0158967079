"""When to look at a job again: seldom while it has far to go, and close to its end when it gets there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.clock import SHORTEST_POLL, poll_interval

if TYPE_CHECKING:
    from collections.abc import Callable

_PART_OF_THE_REST = 0.75
_FINEST = 50
_LOOKS_A_SECOND = 100


class PollSchedule:
    """The pauses between looks at one job.

    A job that reports its progress is looked at when three quarters of its rest should be over, by the rate at which it
    went on between the last two looks that saw it go on: a dozen looks find the end of a job within a fiftieth of its
    length. No pause is longer than all the time before it, since a job may also end early. Without progress there is
    only :func:`poll_interval`.

    Where hundreds of jobs are watched at once, pauses are no shorter than lets all of them together be looked at 100
    times a second: more, and the looks would take longer than what they look for. One that would come shortly before
    the end, so that the next could only come long after it, is left for just after the end.

    Args:
        longest: seconds that no pause is longer than.
        active_runs: how many jobs are watched at present.
    """

    def __init__(self, longest: float, active_runs: Callable[[], int] = lambda: 1) -> None:
        self._longest = longest
        self._crowd = active_runs
        self._at = self._fraction = 0.0
        self._end: float | None = None

    def saw(self, waited: float, fraction: float | None) -> None:
        """Note the progress, from 0 to 1, that a look saw after so many seconds."""
        if fraction is None or fraction == self._fraction:
            return
        if fraction > self._fraction and waited > self._at:
            seconds_for_all = (waited - self._at) / (fraction - self._fraction)
            self._end = waited + max(0.0, 1.0 - fraction) * seconds_for_all
        else:
            self._end = None  # it was begun again
        self._at, self._fraction = waited, fraction

    def interval(self, waited: float) -> float:
        """Seconds until the next look, after so many seconds."""
        least = self._crowd() / _LOOKS_A_SECOND
        pause = max(self._wanted(waited), least)
        rest = 0.0 if self._end is None else self._end - waited
        if pause < rest < pause + least and rest <= waited:
            # A look before the end would only put off the next one; and after its training a job has a model to save.
            pause = rest + least / 4
        return min(pause, self._longest)

    def _wanted(self, waited: float) -> float:
        if self._end is None:
            return poll_interval(waited, self._longest)
        rest = self._end - waited
        # What is overdue may be so for long: its model is saved, or the end was taken for nearer than it is.
        pause = _PART_OF_THE_REST * rest if rest > 0 else -rest / 2
        return min(max(pause, waited / _FINEST, SHORTEST_POLL), max(waited, SHORTEST_POLL))
