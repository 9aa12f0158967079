"""Time as the engine sees it: monotonic seconds, and how long to sleep between two looks at a job."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The seam for tests: with a clock of their own, hours of waiting pass at once."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SHORTEST_POLL = 0.1


def poll_interval(waited: float, longest: float) -> float:
    """Seconds until the next look at a job that has run for ``waited`` seconds.

    A tenth of the time already waited: the end of a job is seen within a tenth of its length, and the number of looks
    grows only with the logarithm of that length, until ``longest`` bounds the interval.
    """
    return min(max(SHORTEST_POLL, waited / 10), longest)
