"""A proxy between a client and a real environment, which has the faults that networks and gateways have."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import unquote

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PASSED_ON = ("authorization", "instabase-api-args", "content-type", "idempotency-key")


@dataclass(frozen=True)
class Fault:
    """Fate of one request.

    Attributes:
        how: an answer in place of the environment's, a connection that is reset, an answer that is cut in the middle,
            or one that comes late.
        effect: whether the environment gets the request first, so that only its answer is lost.
        seconds: to wait before.
    """

    name: str
    how: Literal["answer", "reset", "cut", "late"] = "answer"
    status: int = 200
    body: str = ""
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    effect: bool = False
    seconds: float = 0.0


RESET = Fault("reset", "reset")
LOST = Fault("lost after the effect", "reset", effect=True)
CUT = Fault("cut", "cut", effect=True)
HTML = Fault("web page", body="<html><h1>Please wait</h1></html>", kind="text/html", effect=True)
EMPTY = Fault("empty", effect=True)
BUSY = Fault("503", status=503, body="<html>no healthy upstream</html>", kind="text/html")
SLOW_DOWN = Fault("429", status=429, body="{}", headers=(("Retry-After", "1"),))
BROKEN = Fault("500", status=500, body="oops", kind="text/plain")
BAD_GATEWAY = Fault("502", status=502, body="<html>bad gateway</html>", kind="text/html", effect=True)
TIMED_OUT = Fault("504", status=504, body="<html>gateway time-out</html>", kind="text/html", effect=True)
UNAVAILABLE = Fault("UNAVAILABLE", body='{"status": "ERROR", "msg": "UNAVAILABLE: file service is restarting"}')
LATE = Fault("late", "late", seconds=0.3)

PASSING = (
    RESET,
    LOST,
    CUT,
    HTML,
    EMPTY,
    BUSY,
    SLOW_DOWN,
    BROKEN,
    BAD_GATEWAY,
    TIMED_OUT,
    UNAVAILABLE,
    LATE,
)
"""Every fault that passes."""


@dataclass(frozen=True)
class _Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def what(self) -> str:
        """Method and path below ``/api/v1``, decoded, without a query."""
        path = unquote(self.target.partition("?")[0])
        return f"{self.method} {path.removeprefix('/api/v1').lstrip('/')}"


class FaultProxy:
    """Listens on loopback, in a thread with an event loop of its own.

    Attributes:
        calls: what was asked, in order: method and path below ``/api/v1``.
        bodies: what was sent with each.
        keys: the idempotency key of each; empty without one.
        choose: decides about each request; None passes it on.
    """

    def __init__(self, url: str, choose: Callable[[str], Fault | None] | None = None) -> None:
        self.calls: list[str] = []
        self.bodies: list[bytes] = []
        self.keys: list[str] = []
        self.choose = choose or self._scripted
        self._script: list[tuple[str, Fault]] = []
        self._upstream = url
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._done: asyncio.Event
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)
        self._loop.close()

    def plan(self, what: str, *faults: Fault) -> None:
        """The next requests that begin with ``what`` meet these faults, each one."""
        self._script += [(what, fault) for fault in faults]

    def count(self, what: str) -> int:
        return sum(call.startswith(what) for call in self.calls)

    def _scripted(self, what: str) -> Fault | None:
        for index, (start, fault) in enumerate(self._script):
            if what.startswith(start):
                del self._script[index]
                return fault
        return None

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        async with httpx.AsyncClient(base_url=self._upstream, timeout=60) as client:
            self._client = client
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=2**20)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self._ready.set()
            await self._done.wait()
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, httpx.HTTPError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open."""
        request = await _read(reader)
        self.calls.append(request.what)
        self.bodies.append(request.body)
        self.keys.append(request.headers.get("idempotency-key", ""))
        fault = self.choose(request.what)
        if fault is None:
            _write(writer, await self._pass_on(request))
        else:
            await asyncio.sleep(fault.seconds)
            passed = await self._pass_on(request) if fault.effect or fault.how in {"cut", "late"} else None
            if fault.how == "reset":
                writer.transport.abort()
                return False
            if fault.how == "answer":
                headers = {"content-type": fault.kind, **dict(fault.headers)}
                _write(writer, httpx.Response(fault.status, headers=headers, content=fault.body.encode()))
            elif passed is not None:
                _write(writer, passed, half=fault.how == "cut")
        await writer.drain()
        return fault is None or fault.how != "cut"

    async def _pass_on(self, request: _Request) -> httpx.Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        return await self._client.request(request.method, request.target, content=request.body, headers=headers)


async def _read(reader: asyncio.StreamReader) -> _Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _version = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return _Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def _write(writer: asyncio.StreamWriter, answer: httpx.Response, *, half: bool = False) -> None:
    content = answer.content
    headers = {
        name: value for name, value in answer.headers.items() if name in {"content-type", "retry-after", "location"}
    }
    lines = [f"HTTP/1.1 {answer.status_code} Answer", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append(f"content-length: {len(content)}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (content[: len(content) // 2] if half else content))
