"""Retries of calls, as their policies say."""

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
    """Callback before each pause, with the transient error and a message about it."""

T = TypeVar("T")

ON_RETRY: ContextVar[OnRetry | None] = ContextVar("ON_RETRY", default=None)
"""Callback of the current task: many runs share one client."""


class Retrier:
    """Retries calls after transient errors.

    Args:
        clock: the clock to wait with; None means the system's clock.
        on_retry: called before each pause; None means the current task's :data:`ON_RETRY`.
    """

    def __init__(self, clock: Clock | None = None, on_retry: OnRetry | None = None) -> None:
        self._clock = clock or SystemClock()
        self._on_retry = on_retry

    async def __call__(self, policy: RetryPolicy, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of ``call``, after retries where ``policy`` allows them.

        Raises:
            InstabaseError: the error of the last try, or the first one that the policy does not retry.
        """
        start = self._clock.now()
        first_error: Exception | None = None
        try:
            # Nearly all calls succeed at once, and tenacity costs 0.1 ms even then.
            return await call()
        except Exception as error:
            if not policy.allows(error):
                raise
            first_error = error

        async def one_try() -> T:
            nonlocal first_error
            if first_error is not None:
                error, first_error = first_error, None
                raise error
            return await call()

        def pause(state: RetryCallState) -> float:
            # This random number is not for cryptography.
            return policy.pause(state.attempt_number, _error(state), random.random())  # noqa: S311

        def is_last_try(state: RetryCallState) -> bool:
            next_start = self._clock.now() - start + state.upcoming_sleep
            return state.attempt_number >= policy.tries or next_start > policy.seconds

        def report(state: RetryCallState) -> None:
            on_retry, error = self._on_retry or ON_RETRY.get(), _error(state)
            if on_retry is not None and error is not None:
                count = f"{state.attempt_number} of {policy.tries} tries"
                on_retry(error, f"{error}; retrying in {state.upcoming_sleep:g} s ({count})")

        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            retry=retry_if_exception(policy.allows),
            wait=pause,
            stop=is_last_try,
            before_sleep=report,
            reraise=True,
        )
        return await retrying(one_try)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
