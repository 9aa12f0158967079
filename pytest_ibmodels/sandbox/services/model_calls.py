"""Calls that wait for the answer of a model: each tenant has a small pool of threads for them.

Reading and writing of files has threads of its own, so it never waits behind a model, nor one tenant behind another.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request

from pytest_ibmodels.sandbox.errors import SandboxError, TooManyCallsError

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

THREADS = 8
MOST_WAITING = 32
"""Calls of a tenant beyond those that have a thread; more are refused."""
_LOOK_SECONDS = 0.5
_LOCK_SECONDS = 0.1


class CallerLeftError(SandboxError):
    """The caller has closed the connection: nobody waits for the answer."""


class ModelCalls:
    """Runs blocking calls of one tenant, at most ``THREADS`` at once."""

    def __init__(self, threads: int = THREADS, most_waiting: int = MOST_WAITING) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="model-call")
        self._most = threads + most_waiting
        self._lock = threading.Lock()
        self._count = 0

    async def answer(self, request: Request, call: Callable[[threading.Event], T]) -> T:
        """Run ``call`` in the pool and return its value; its argument is set once the caller has left.

        Raises:
            TooManyCallsError: if as many calls of this tenant wait already as may.
            CallerLeftError: if the caller has left.
        """
        abandoned = threading.Event()
        with self._lock:
            if self._count >= self._most:
                raise TooManyCallsError(self._count)
            self._count += 1
        running = self._pool.submit(call, abandoned)
        running.add_done_callback(lambda _: self._release())
        answer = asyncio.wrap_future(running)
        try:
            while not answer.done():
                await asyncio.wait([answer], timeout=_LOOK_SECONDS)
                if not answer.done() and await request.is_disconnected():
                    msg = "the caller has left"
                    raise CallerLeftError(msg)
            return await answer
        finally:
            # A call that has no thread yet ends here; one that waits for a model notices by itself.
            abandoned.set()
            running.cancel()

    def close(self) -> None:
        """Start nothing more; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _release(self) -> None:
        with self._lock:
            self._count -= 1


@contextmanager
def held(lock: threading.Lock, abandoned: threading.Event | None) -> "Iterator[None]":
    """Hold a lock; whoever waits for it gives up once ``abandoned`` is set.

    Raises:
        CallerLeftError: if it was set before the lock could be had.
    """
    while not lock.acquire(timeout=_LOCK_SECONDS if abandoned else -1):
        if abandoned and abandoned.is_set():
            msg = "the caller has left"
            raise CallerLeftError(msg)
    try:
        yield
    finally:
        lock.release()
