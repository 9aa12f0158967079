"""Trying again what an environment cannot do at present."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_ibmodels.instabase.errors import ApiError, EnvironmentUnavailable, InstabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_ibmodels.runs.clock import Clock

T = TypeVar("T")

TRIES = 8
"""As often as the platform's own tools try."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 8.0
_SECONDS = 120.0  # calls of which each hangs until it times out are not worth all the tries


def is_passing(error: InstabaseError) -> bool:
    """Whether trying again may help: HTTP 429 and 5xx, a lost answer, or UNAVAILABLE in the environment's own words.

    A refused connection is none: where nothing listens, nothing will in the next minute.
    """
    if isinstance(error, EnvironmentUnavailable):
        return error.reached
    return isinstance(error, ApiError) and "UNAVAILABLE" in error.reason


async def patiently(call: Callable[[], Awaitable[T]], clock: Clock, tell: Callable[[str], None]) -> T:
    """The result of ``call``, tried up to :data:`TRIES` times, with pauses of 0.5 s, 1 s, 2 s, and so on up to 8 s.

    Args:
        call: is done again from its start; so a call whose answer was lost may have had its effect before.
        clock: time, and how to let it pass.
        tell: gets a sentence before each pause.

    Raises:
        InstabaseError: that of the last try, or the first that will not pass.
    """
    started = clock.now()
    pause = _FIRST_PAUSE
    for attempt in range(1, TRIES + 1):
        try:
            return await call()
        except InstabaseError as error:
            if attempt == TRIES or not is_passing(error) or clock.now() - started > _SECONDS:
                raise
            tell(f"{error}; trying again in {pause:g} s ({attempt} of {TRIES} tries)")
        await clock.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise AssertionError  # the last try returns or raises
