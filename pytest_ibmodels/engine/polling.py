"""Polling a job: when to poll it, when it is late, and how to survive lost answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pytest_ibmodels.instabase.errors import InstabaseError, UnexpectedAnswer
from pytest_ibmodels.instabase.policy import is_transient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.instabase.wire import JobStatus

T = TypeVar("T")

POLL_TIMEOUT = 30.0
"""Seconds after which the answer to a poll counts as lost."""

LAST_POLL_SECONDS = 30.0
"""Seconds past a limit in which a job is still polled if the last answer was lost."""

SHORTEST_POLL = 0.1
_FIRST_POLLS = 0.5
_LAST_POLL_PAUSE = 1.0
_LONGEST_RETRY_AFTER = 60.0
_SLEPT_SECONDS = 15.0

_PART_OF_THE_REST = 0.75
_MIN_PART_OF_WAITED = 1 / 50
_MAX_POLLS_PER_SECOND = 100


@dataclass(frozen=True)
class Limits:
    """Limits of the engine, in seconds; the time limit of a model test is not among them.

    Attributes:
        longest_poll: between two polls of a job.
        startup: until an environment answers for the first time.
        upload: of uploading and unpacking the package.
        queue: of a training job in the environment's queue.
        inference: of one model test's inference.
    """

    longest_poll: float = 10.0
    startup: float = 60.0
    upload: float = 300.0
    queue: float = 3600.0
    inference: float = 300.0


class LostResponses:
    """Counts the answers that a run lost, and keeps one note on all of them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._note = ""

    def add(self, error: BaseException) -> None:
        self._run.lost_answers += 1
        notes, count = self._run.notes, self._run.lost_answers
        if self._note in notes:
            notes.remove(self._note)
        self._note = f"{count} answer{'s' * (count != 1)} lost, the last one: {str(error) or 'no answer in time'}"
        notes.append(self._note)


def poll_interval(waited: float, longest: float) -> float:
    """Seconds until the next poll of a job that has run for ``waited`` seconds without reporting progress.

    A tenth of the time already waited, so that the end of a job is seen within a tenth of its length, and the number of
    polls grows with the logarithm of that length until ``longest`` bounds the interval. The first intervals double
    until they reach half a second.
    """
    return min(max(SHORTEST_POLL, min(waited, _FIRST_POLLS), waited / 10), longest)


class PollSchedule:
    """The pauses between polls of one job.

    A job that reports progress is polled when three quarters of its remaining time should be over, by the rate between
    the last two polls that saw progress: a dozen polls find the end of a job within a fiftieth of its length. No pause
    is longer than all the time before it, since a job may end early. Without progress, :func:`poll_interval` applies.

    Pauses grow with the number of active runs, so that all jobs together are polled at most 100 times a second. A poll
    that would come shortly before the expected end is put off until just after it.

    Args:
        longest: longest pause, in seconds.
        active_runs: returns how many jobs are polled at present.
    """

    def __init__(self, longest: float, active_runs: Callable[[], int] = lambda: 1) -> None:
        self._longest = longest
        self._active_runs = active_runs
        self._at = self._fraction = 0.0
        self._end: float | None = None

    def record(self, waited: float, fraction: float | None) -> None:
        """Record the progress (0..1) that a poll saw after ``waited`` seconds."""
        if fraction is None or fraction == self._fraction:
            return
        if fraction > self._fraction and waited > self._at:
            total_seconds = (waited - self._at) / (fraction - self._fraction)
            self._end = waited + max(0.0, 1.0 - fraction) * total_seconds
        else:
            self._end = None  # the training was restarted
        self._at, self._fraction = waited, fraction

    def interval(self, waited: float) -> float:
        """Seconds until the next poll, after ``waited`` seconds."""
        shortest = self._active_runs() / _MAX_POLLS_PER_SECOND
        pause = max(self._wanted(waited), shortest)
        rest = 0.0 if self._end is None else self._end - waited
        if pause < rest < pause + shortest and rest <= waited:
            # A poll before the end would put off the next one; after its training a job still has to save the model.
            pause = rest + shortest / 4
        return min(pause, self._longest)

    def _wanted(self, waited: float) -> float:
        if self._end is None:
            return poll_interval(waited, self._longest)
        rest = self._end - waited
        # An overdue job may stay so for long: it saves its model, or the estimate of its end was too early.
        pause = _PART_OF_THE_REST * rest if rest > 0 else -rest / 2
        return min(max(pause, waited * _MIN_PART_OF_WAITED, SHORTEST_POLL), max(waited, SHORTEST_POLL))


class JobTimer:
    """Holds a job to its limits: call :meth:`record_poll` after each poll, then :meth:`pause` until the next.

    Time in which this machine slept or this process was stopped does not count. After such a sleep, as after lost
    answers, the job is polled once more before it is declared late.

    Args:
        longest_poll: longest pause between two polls, in seconds.
        limit: seconds that the job may run.
        queue_limit: seconds that the job may be queued.
        poll_timeout: seconds that a poll may take.
        age: seconds since the job was accepted.
        active_runs: returns how many jobs are polled at present.

    Attributes:
        ran, queued: seconds that the job ran and was queued, as far as polls have shown.
    """

    def __init__(
        self,
        clock: Clock,
        longest_poll: float,
        *,
        limit: float,
        queue_limit: float = float("inf"),
        poll_timeout: float = POLL_TIMEOUT,
        age: float = 0.0,
        active_runs: Callable[[], int] = lambda: 1,
    ) -> None:
        self.poll_timeout = poll_timeout
        self._clock = clock
        self._schedule = PollSchedule(longest_poll, active_runs)
        self._limits = {True: queue_limit, False: limit}
        self._is_queued = False
        self._unseen = age
        self._mark = clock.now()
        self._paused = 0.0
        self._is_answered = True
        self.ran = self.queued = 0.0

    def record_poll(self, *, queued: bool | None = False, fraction: float | None = None) -> None:
        """Record what a poll showed: whether the job is queued, and its progress (0..1).

        ``queued`` is None if the answer was lost.
        """
        now = self._clock.now()
        elapsed = now - self._mark
        if elapsed > self._paused + self.poll_timeout + _SLEPT_SECONDS:
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
        self._schedule.record(self._age, fraction)

    @property
    def waited(self) -> float:
        """Seconds in the present state, queued or running, as far as is known."""
        return (self.queued if self._is_queued else self.ran) + self._unseen

    @property
    def _age(self) -> float:
        return self.queued + self.ran + self._unseen

    @property
    def late(self) -> str:
        """The limit that is over, ``queue`` or ``run``; empty if none is, or if one more poll is due."""
        grace = 0.0 if self._is_answered else LAST_POLL_SECONDS
        if self.waited < self._limits[self._is_queued] + grace:
            return ""
        return "queue" if self._is_queued else "run"

    async def pause(self, retry_after: float = 0.0) -> None:
        """Sleep until the next poll, at least ``retry_after`` seconds (a minute at most), but not past the limit."""
        left = self._limits[self._is_queued] - self.waited
        interval = max(self._schedule.interval(self._age), min(retry_after, _LONGEST_RETRY_AFTER))
        self._paused = min(interval, left) if left > 0 else _LAST_POLL_PAUSE
        await self._clock.sleep(self._paused)


async def poll_job(
    poll: Callable[[], Awaitable[T | None]], timer: JobTimer, on_lost: Callable[[BaseException], None] | None = None
) -> T | None:
    """Poll a job until it ends. A lost answer does not end the wait; the next poll follows.

    Args:
        poll: polls once and records the poll in ``timer``; returns None while the job goes on.
        timer: the job's timer.
        on_lost: called with the error of each lost answer; it may raise to end the wait.

    Returns:
        What the last poll returned; None if a limit of the timer is over.

    Raises:
        InstabaseError: a poll failed and its answer was not lost, see :func:`is_lost`.
    """
    while True:
        retry_after = 0.0
        try:
            async with asyncio.timeout(timer.poll_timeout):
                ended = await poll()
            if ended is not None:
                return ended
        except (InstabaseError, TimeoutError) as error:
            if not is_lost(error):
                raise
            if on_lost is not None:
                on_lost(error)
            timer.record_poll(queued=None)
            retry_after = getattr(error, "retry_after", None) or 0.0
        if timer.late:
            return None
        await timer.pause(retry_after)


async def poll_status(
    fetch: Callable[[], Awaitable[JobStatus]], timer: JobTimer, on_lost: Callable[[BaseException], None] | None = None
) -> JobStatus | None:
    """Poll ``jobs/status`` until the job ends or fails; as :func:`poll_job`."""

    async def poll() -> JobStatus | None:
        status = await fetch()
        timer.record_poll()
        return status if status.is_over or status.failure else None

    return await poll_job(poll, timer, on_lost)


def is_lost(error: BaseException) -> bool:
    """Return whether the answer about a job was lost: a transient fault, a timeout, or an answer of unexpected form."""
    return isinstance(error, TimeoutError | UnexpectedAnswer) or is_transient(error)
