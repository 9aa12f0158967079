"""Pool of clients: failed and cancelled requests take no connection from later ones."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import httpx
import pytest

from pytest_ibmodels.instabase.client_pool import ClientPool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK"


async def _served(test: Callable[[str], Awaitable[None]]) -> int:
    """Run ``test`` with the address of a server, and return the number of connections."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(_ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    await test(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others)
    return connections


def pool_of(url: str, most: int) -> ClientPool:
    def client() -> httpx.AsyncClient:
        limits, timeout = httpx.Limits(max_connections=1), httpx.Timeout(5, pool=0.2)
        # Without https, no certificates need to be read.
        return httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout, verify=False)  # noqa: S501

    return ClientPool(client, most)


async def ask(pool: ClientPool) -> str:
    async with pool.client() as client:
        return (await client.get("/")).text


@pytest.mark.parametrize("used", [False, True], ids=["new", "used before"])
def test_a_request_that_is_given_up_at_any_moment_takes_no_connection_with_it(*, used: bool) -> None:
    async def test(url: str) -> None:
        for steps in range(40):
            pool = pool_of(url, 1)
            if used:
                await ask(pool)
            given_up = asyncio.create_task(ask(pool))
            for _ in range(steps):
                await asyncio.sleep(0)
            given_up.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await given_up
            assert await ask(pool) == "OK", f"after {steps} steps"
            await pool.close()

    asyncio.run(_served(test))


def test_connections_are_used_again_and_no_more_are_open_than_may_be() -> None:
    async def test(url: str) -> None:
        pool = pool_of(url, 3)
        assert [await ask(pool) for _ in range(3)] == ["OK"] * 3
        assert await asyncio.gather(*(ask(pool) for _ in range(20))) == ["OK"] * 20
        await pool.close()

    assert asyncio.run(_served(test)) == 3
