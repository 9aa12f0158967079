"""Gate of the portal: which requests are pages for people, and not calls of the API."""

import importlib.util

from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pytest_ibmodels.sandbox.http.tokens import Tokens

_HOW_TO_GET = (
    "This is a sandbox of pytest-ibmodels. Its portal, the pages for people, is not installed.\n"
    "Run this where the sandbox is installed, then start it again:\n\n"
    "    pip install 'pytest-ibmodels[portal]'\n"
)
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # With `no-referrer`, browsers send no origin with a form, and without it a form is refused.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def is_installed() -> bool:
    """Whether the extra ``portal`` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("jinja2", "markupsafe", "python_multipart"))


def add_portal(app: FastAPI, tokens: Tokens, *, with_code: bool = False) -> str:
    """Put the portal before an application of the API.

    Args:
        app: The application.
        tokens: Tokens to sign in with.
        with_code: Whether to make a one-time code, for a server with a single token.

    Returns:
        The path to sign in at with the one-time code; empty without one.
    """
    if not is_installed():
        app.add_middleware(Gate, portal=PlainTextResponse(_HOW_TO_GET))
        return ""
    from pytest_ibmodels.sandbox.portal.app import create_portal

    portal = create_portal(app.state.tenants, tokens, lambda: bool(app.state.is_stopping))
    app.add_middleware(Gate, portal=portal)
    return f"/portal/sign-in?code={portal.state.portal.sessions.new_code()}" if with_code else ""


class Gate:
    """ASGI middleware that gives the paths ``/`` and ``/portal...`` to the portal, and all others to the API."""

    def __init__(self, app: ASGIApp, *, portal: ASGIApp) -> None:
        self._app = app
        self._portal = portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path in {"/", "/portal"} or path.startswith("/portal/")):
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                added = [*_HEADERS, *([] if b"cache-control" in present else [(b"cache-control", b"no-store")])]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._portal(scope, receive, send_secured)
