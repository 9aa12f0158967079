"""HTTP clients of one connection each, for requests of which hundreds wait at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx


class ClientPool:
    """Hands out clients, the last one used first, so that few connections do what many could.

    The pool inside an httpx client looks at each of its connections, and at each request that waits for one, before and
    after every request: with 32 connections that costs as much as the request itself, with hundreds of requests that
    wait much more.

    Args:
        make: a client; called when all that there are do something.
        most: how many requests may be under way at once; others wait.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient], most: int) -> None:
        self._make = make
        self._places = asyncio.Semaphore(most)
        self._free: list[httpx.AsyncClient] = []
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one request."""
        async with self._places:
            client = self._free.pop() if self._free else self._make()
            try:
                yield client
            except BaseException:
                # Of a request that was cancelled, httpx may count the connection as used for ever: its only one.
                closing = asyncio.create_task(client.aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
                raise
            self._free.append(client)

    async def close(self) -> None:
        """Close the connections that do nothing."""
        while self._free:
            await self._free.pop().aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)
