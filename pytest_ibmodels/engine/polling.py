"""The time of a job while it is looked at again and again: how long it was queued and ran, and what is too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.poll_schedule import PollSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ibmodels.engine.clock import Clock

LOOK_SECONDS = 30.0
"""After so long a look is given up, and its answer counts as lost."""

LAST_LOOK_SECONDS = 30.0
"""For so long past a limit an answer is still waited for, if those before were lost."""

_SLEPT_SECONDS = 15.0
_LAST_LOOK_PAUSE = 1.0
_LONGEST_ASKED = 60.0


class JobTimer:
    """Keeps the limits of a job; :meth:`saw` after each look, then :meth:`pause` until the next one.

    Time in which this machine slept, or this process was stopped, counts for nothing. On waking, as after lost answers,
    a job is not declared late before it was looked at.

    Args:
        limit: seconds that the job may run.
        queue_limit: seconds that it may be queued.
        longest_look: seconds that a look may take.
        age: seconds that it was there already when the watch began.
        active_runs: how many jobs are watched at present.

    Attributes:
        ran, queued: seconds, as far as looks have told.
    """

    def __init__(
        self,
        clock: Clock,
        longest_poll: float,
        *,
        limit: float,
        queue_limit: float = float("inf"),
        longest_look: float = LOOK_SECONDS,
        age: float = 0.0,
        active_runs: Callable[[], int] = lambda: 1,
    ) -> None:
        self._clock = clock
        self._pace = PollSchedule(longest_poll, active_runs)
        self._limits = {True: queue_limit, False: limit}
        self._is_queued = False
        self._longest_look = longest_look
        self._unseen = age
        self._mark = clock.now()
        self._paused = 0.0
        self._is_answered = True
        self.ran = self.queued = 0.0

    def saw(self, *, queued: bool | None = False, fraction: float | None = None) -> None:
        """Note what a look told: that the job is queued, or is not, and its progress; None: the answer was lost."""
        now = self._clock.now()
        elapsed = now - self._mark
        if elapsed > self._paused + self._longest_look + _SLEPT_SECONDS:
            elapsed = self._paused
        self._mark, self._paused = now, 0.0
        self._unseen += elapsed
        self._is_answered = queued is not None
        if queued is None:
            return
        self._is_queued = queued
        if queued:
            self.queued += self._unseen
        else:
            self.ran += self._unseen
        self._unseen = 0.0
        self._pace.saw(self._all, fraction)

    @property
    def waited(self) -> float:
        """Seconds in the present state, the queue or not, as far as is known."""
        return (self.queued if self._is_queued else self.ran) + self._unseen

    @property
    def _all(self) -> float:
        return self.queued + self.ran + self._unseen

    @property
    def late(self) -> str:
        """Which limit is over, ``queue`` or ``run``; empty if none is, or an answer that may tell otherwise is due."""
        grace = 0.0 if self._is_answered else LAST_LOOK_SECONDS
        if self.waited < self._limits[self._is_queued] + grace:
            return ""
        return "queue" if self._is_queued else "run"

    async def pause(self, at_least: float = 0.0) -> None:
        """Wait until the next look; ``at_least`` so many seconds, up to a minute, if the environment asks for it."""
        left = self._limits[self._is_queued] - self.waited
        interval = max(self._pace.interval(self._all), min(at_least, _LONGEST_ASKED))
        self._paused = min(interval, left) if left > 0 else _LAST_LOOK_PAUSE
        await self._clock.sleep(self._paused)
