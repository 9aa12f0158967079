"""A gateway before a sandbox, which passes calls on, and can meddle with them as real gateways do."""

from __future__ import annotations

import contextlib
import http.server
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tests.sandbox.running import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Call:
    """One request; ``what`` is its method and its path below ``/api/v1``, decoded, without a query."""

    what: str
    body: bytes


@dataclass(frozen=True)
class Reply:
    code: int
    body: str


class Gateway:
    """Listens on loopback, in a thread.

    Attributes:
        calls: what was asked, in order.
        meddle: may answer a call itself, or change it; None passes it on.
    """

    def __init__(self, url: str) -> None:
        self.calls: list[str] = []
        self.meddle: Callable[[Call], Reply | Call | None] = lambda _call: None
        self._client = httpx.Client(base_url=url, timeout=30)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()

    def ask(self, method: str, path: str, body: bytes) -> Reply:
        """A call of somebody else, with the token of the tests."""
        answer = self._client.request(method, path, content=body, headers={"Authorization": f"Bearer {TOKEN}"})
        return Reply(answer.status_code, answer.text)

    def pass_on(self, request: http.server.BaseHTTPRequestHandler, body: bytes) -> Reply:
        names = ("Authorization", "Instabase-API-Args")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        answer = self._client.request(request.command, request.path, content=body, headers=headers)
        return Reply(answer.status_code, answer.text)

    def _handler(gateway) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805 - the inner class has a self, too
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = httpx.URL(self.path).path.removeprefix("/api/v1/")
                call = Call(f"{self.command} {path}", body)
                gateway.calls.append(call.what)
                answer = gateway.meddle(call)
                if not isinstance(answer, Reply):
                    answer = gateway.pass_on(self, answer.body if answer else body)
                self.send_response(answer.code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.body.encode())))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # who asked may have gone
                    self.wfile.write(answer.body.encode())

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
                pass

        return Handler
