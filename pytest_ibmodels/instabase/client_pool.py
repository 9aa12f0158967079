"""Pool of HTTP clients with one connection each, for hundreds of concurrent requests."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx


class ClientPool:
    """Pool of HTTP clients. The client used last is reused first, so that few connections are open.

    The connection pool of an httpx client examines all its connections and all waiting requests before and after each
    request. With 32 connections that costs as much as the request itself, and more with hundreds of waiting requests.

    Args:
        make: factory of clients, called when every pooled client is busy.
        max_clients: maximum number of concurrent requests; further ones wait.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient], max_clients: int) -> None:
        self._make = make
        self._slots = asyncio.Semaphore(max_clients)
        self._idle: list[httpx.AsyncClient] = []
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend a client for one request."""
        async with self._slots:
            client = self._idle.pop() if self._idle else self._make()
            try:
                yield client
            except BaseException:
                # After a cancelled request, httpx may count the client's only connection as busy forever.
                closing = asyncio.create_task(client.aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
                raise
            self._idle.append(client)

    async def close(self) -> None:
        """Close all idle clients."""
        while self._idle:
            await self._idle.pop().aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)
