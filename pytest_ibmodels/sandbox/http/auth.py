"""What every request passes first: the token, the size of the body, and the net under unexpected errors."""

import asyncio
import logging
import re
from contextlib import suppress
from urllib.parse import unquote

from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pytest_ibmodels.sandbox.errors import BodyTooLargeError
from pytest_ibmodels.sandbox.http.tokens import Tokens

logger = logging.getLogger(__name__)

TENANT = "pytest_ibmodels.holder"
"""The key of a request's scope under which the holder of its token stands."""
IS_HEAD = "pytest_ibmodels.is_head"
"""The key that tells a HEAD request, which calls are asked to answer as GET."""
_DRAINED_BYTES = 256 * 2**20
_DRAIN_SECONDS = 10.0
_ABSOLUTE = re.compile(rb"https?://[^/]*(.*)", re.IGNORECASE | re.DOTALL)
_MOST_DIGITS = 18


class AuthMiddleware:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, max_body: int) -> None:
        self._app = app
        self._tokens = tokens
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _tidied(scope)
        headers = dict(scope["headers"])
        holder = self._tokens.holder(headers.get(b"authorization", b""))
        if holder is None:
            reason = "the token is wrong" if b"authorization" in headers else "there is no token"
            msg = f"{reason}; expected the header 'Authorization: Bearer TOKEN'"
            await _refuse(scope, receive, send, 401, msg)
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > self._max_body):
            await _refuse(scope, receive, send, 413, str(BodyTooLargeError(self._max_body)))
            return
        scope[TENANT] = holder
        await self._guarded(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            if scope[IS_HEAD] and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            logger.info("%s %s: the client went away", scope["method"], scope["path"])
        except Exception as error:
            logger.exception("%s %s", scope["method"], scope["path"])
            if not started:
                msg = f"the sandbox failed: {type(error).__name__}: {error}"
                await JSONResponse({"status": "ERROR", "msg": msg}, 500)(scope, receive, send)


def _tidied(scope: Scope) -> Scope:
    """The request as calls are described: its path alone, with one slash in front, and GET for HEAD."""
    path: str = scope["path"]
    absolute = None if path.startswith("/") else _ABSOLUTE.fullmatch(scope.get("raw_path") or path.encode())
    if absolute is not None:  # as it is sent to a proxy, and answered by every server (RFC 9112)
        path = unquote(absolute[1].decode("latin-1"))
    # Some clients join a host that ends in "/" with a path that begins with one (protocol section 1.1).
    path = "/" + path.lstrip("/")
    is_head = scope["method"] == "HEAD"
    return {**scope, "path": path, IS_HEAD: is_head, "method": "GET" if is_head else scope["method"]}


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, msg: str) -> None:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if dict(scope["headers"]).get(b"expect", b"").lower() == b"100-continue":
        # The client sends its body when it is told to go on, and it is not.
        headers["Connection"] = "close"
    else:
        await _drain(receive)
    await JSONResponse({"status": "ERROR", "msg": msg}, status, headers)(scope, receive, send)


async def _drain(receive: Receive) -> None:
    # A client that is still sending would otherwise see a broken connection in place of the answer.
    drained = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while drained < _DRAINED_BYTES:
                message = await receive()
                drained += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    break
