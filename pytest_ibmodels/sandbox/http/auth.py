"""Middleware for every request: authentication, body size, unexpected errors."""

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

TENANT = "pytest_ibmodels.tenant"
"""Key of a request's scope for the name of its tenant."""
IS_HEAD = "pytest_ibmodels.is_head"
"""Key of a request's scope that marks a HEAD request; routes see it as GET."""
_DRAINED_BYTES = 256 * 2**20
_DRAIN_SECONDS = 10.0
_ABSOLUTE = re.compile(rb"https?://[^/]*(.*)", re.IGNORECASE | re.DOTALL)
_MAX_DIGITS = 18


class AuthMiddleware:
    """ASGI middleware that admits only requests with a known token, and tells their tenant by ``TENANT``."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, max_body: int) -> None:
        self._app = app
        self._tokens = tokens
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _normalized(scope)
        headers = dict(scope["headers"])
        tenant = self._tokens.tenant(headers.get(b"authorization", b""))
        if tenant is None:
            reason = "the token is wrong" if b"authorization" in headers else "there is no token"
            msg = f"{reason}; expected the header 'Authorization: Bearer TOKEN'"
            await _refuse(scope, receive, send, 401, msg)
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > _MAX_DIGITS or int(length) > self._max_body):
            await _refuse(scope, receive, send, 413, str(BodyTooLargeError(self._max_body)))
            return
        scope[TENANT] = tenant
        await self._run_guarded(scope, receive, send)

    async def _run_guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_watched(message: Message) -> None:
            nonlocal started
            started = True
            if scope[IS_HEAD] and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        except ClientDisconnect:
            logger.info("%s %s: the client went away", scope["method"], scope["path"])
        except Exception as error:
            logger.exception("%s %s", scope["method"], scope["path"])
            if not started:
                msg = f"the sandbox failed: {type(error).__name__}: {error}"
                await JSONResponse({"status": "ERROR", "msg": msg}, 500)(scope, receive, send)


def _normalized(scope: Scope) -> Scope:
    """Scope with one leading slash in the path, without a host in it, and with GET in place of HEAD."""
    path: str = scope["path"]
    absolute = None if path.startswith("/") else _ABSOLUTE.fullmatch(scope.get("raw_path") or path.encode())
    if absolute is not None:  # absolute form, as sent to a proxy; every server must accept it (RFC 9112)
        path = unquote(absolute[1].decode("latin-1"))
    # Some clients join a host ending in "/" with a path beginning with one (Instabase protocol, "Authentication").
    path = "/" + path.lstrip("/")
    is_head = scope["method"] == "HEAD"
    return {**scope, "path": path, IS_HEAD: is_head, "method": "GET" if is_head else scope["method"]}


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, msg: str) -> None:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if dict(scope["headers"]).get(b"expect", b"").lower() == b"100-continue":
        # The client sends its body only after status 100, which it does not get.
        headers["Connection"] = "close"
    else:
        await _drain(receive)
    await JSONResponse({"status": "ERROR", "msg": msg}, status, headers)(scope, receive, send)


async def _drain(receive: Receive) -> None:
    # A client that is still sending would see a broken connection instead of the answer.
    drained = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while drained < _DRAINED_BYTES:
                message = await receive()
                drained += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    break
