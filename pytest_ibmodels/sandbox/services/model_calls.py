"""Thread pool of each tenant for calls that wait for a model.

File operations have other threads: they never wait for a model, and no tenant waits for another.
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
"""Limit of a tenant's calls that wait for a thread; further calls are refused."""
_POLL_SECONDS = 0.5
_LOCK_SECONDS = 0.1


class CallerLeftError(SandboxError):
    """The caller has closed the connection."""


class ModelCalls:
    """Pool of one tenant's blocking calls; at most ``threads`` run at once."""

    def __init__(self, threads: int = THREADS, most_waiting: int = MOST_WAITING) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="model-call")
        self._most = threads + most_waiting
        self._lock = threading.Lock()
        self._count = 0

    async def answer(self, request: Request, call: Callable[[threading.Event], T]) -> T:
        """Run ``call`` in the pool and return its value; its argument is set once the caller has left.

        Raises:
            TooManyCallsError: The tenant has too many waiting calls.
            CallerLeftError: The caller has closed the connection.
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
                await asyncio.wait([answer], timeout=_POLL_SECONDS)
                if not answer.done() and await request.is_disconnected():
                    msg = "the caller has left"
                    raise CallerLeftError(msg)
            return await answer
        finally:
            # Cancels a call that has no thread yet; one that waits for a model polls the event.
            abandoned.set()
            running.cancel()

    def close(self) -> None:
        """Start no more calls, without waiting for running ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _release(self) -> None:
        with self._lock:
            self._count -= 1


@contextmanager
def hold(lock: threading.Lock, abandoned: threading.Event | None) -> "Iterator[None]":
    """Hold a lock; setting ``abandoned`` ends the wait for it.

    Raises:
        CallerLeftError: ``abandoned`` was set during the wait.
    """
    while not lock.acquire(timeout=_LOCK_SECONDS if abandoned else -1):
        if abandoned and abandoned.is_set():
            msg = "the caller has left"
            raise CallerLeftError(msg)
    try:
        yield
    finally:
        lock.release()
