"""Trying calls again, as their policies say."""

from __future__ import annotations

import random
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from pytest_ibmodels.instabase.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.instabase.policy import RetryPolicy

    OnRetry = Callable[[BaseException, str], None]
    """Called with an error that passes, and a sentence on it, before each pause."""

T = TypeVar("T")

ON_RETRY: ContextVar[OnRetry | None] = ContextVar("ON_RETRY", default=None)
"""Who hears of answers that were lost to calls of the present task: many runs share one client."""


class Retrier:
    """Sends calls again after faults that pass.

    Args:
        clock: time, and how to let it pass.
        on_retry: hears of each lost answer; by default the present task's :data:`ON_RETRY`.
    """

    def __init__(self, clock: Clock | None = None, on_retry: OnRetry | None = None) -> None:
        self._clock = clock or SystemClock()
        self._hearer = on_retry

    async def __call__(self, policy: RetryPolicy, call: Callable[[], Awaitable[T]]) -> T:
        """The result of ``call``, which is done again from its start where ``policy`` allows it.

        Raises:
            InstabaseError: that of the last try, or the first that does not allow another.
        """
        begun = self._clock.now()
        try:
            return await call()  # as nearly all calls end: the first try needs nothing of what follows
        except Exception as error:
            if not policy.allows(error):
                raise
            failed: Exception | None = error

        async def one_try() -> T:
            nonlocal failed
            if failed is not None:
                first, failed = failed, None
                raise first
            return await call()

        def pause(state: RetryCallState) -> float:
            # Not for cryptography: it keeps many cases from coming back all at once.
            return policy.pause(state.attempt_number, _error(state), random.random())  # noqa: S311

        def is_enough(state: RetryCallState) -> bool:
            late = self._clock.now() - begun + state.upcoming_sleep > policy.seconds
            return state.attempt_number >= policy.tries or late

        def tell(state: RetryCallState) -> None:
            on_retry, error = self._hearer or ON_RETRY.get(), _error(state)
            if on_retry is not None and error is not None:
                count = f"{state.attempt_number} of {policy.tries} tries"
                on_retry(error, f"{error}; trying again in {state.upcoming_sleep:g} s ({count})")

        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            retry=retry_if_exception(policy.allows),
            wait=pause,
            stop=is_enough,
            before_sleep=tell,
            reraise=True,
        )
        return await retrying(one_try)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
