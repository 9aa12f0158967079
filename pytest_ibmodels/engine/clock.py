"""Time as the engine sees it: monotonic seconds, and how long to sleep between two looks at a job."""

from __future__ import annotations

from pytest_ibmodels.instabase.clock import Clock, SystemClock

__all__ = ["SHORTEST_POLL", "Clock", "SystemClock", "poll_interval"]

SHORTEST_POLL = 0.1
_FIRST_POLLS = 0.5


def poll_interval(waited: float, longest: float) -> float:
    """Seconds until the next look at a job that has run for ``waited`` seconds, and says nothing of its progress.

    A tenth of the time already waited: the end of a job is seen within a tenth of its length, and the number of looks
    grows only with the logarithm of that length, until ``longest`` bounds the interval. The first seconds are seen a
    little less exactly: looks double their distance until it is half a second.
    """
    return min(max(SHORTEST_POLL, min(waited, _FIRST_POLLS), waited / 10), longest)
