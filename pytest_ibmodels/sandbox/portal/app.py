"""Application of the portal: its pages, and its answers to errors."""

import logging
from collections.abc import Callable

from fastapi import Request
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pytest_ibmodels.sandbox.errors import BodyTooLargeError, BusyError, SandboxError, StoreError
from pytest_ibmodels.sandbox.http.tokens import Tokens
from pytest_ibmodels.sandbox.portal import (
    audit,
    drive,
    drive_changes,
    job_log,
    jobs,
    marketplace,
    models,
    settings,
    sign_in,
    train,
    try_it,
)
from pytest_ibmodels.sandbox.portal.forms import FormRefusedError
from pytest_ibmodels.sandbox.portal.rendering import STATIC_FILES, html_response, render
from pytest_ibmodels.sandbox.portal.sessions import Sessions
from pytest_ibmodels.sandbox.portal.throttle import Throttle
from pytest_ibmodels.sandbox.portal.visits import NotHereError, Portal, frame, is_renewal, is_stream
from pytest_ibmodels.sandbox.services.tenant import Tenants

logger = logging.getLogger(__name__)

PAGES = (
    ("Jobs", "/portal/jobs"),
    ("Models", "/portal/models"),
    ("Train", "/portal/train"),
    ("Try it", "/portal/try"),
    ("Drive", "/portal/drive"),
    ("Marketplace", "/portal/marketplace"),
    ("Settings", "/portal/settings"),
    ("Audit", "/portal/audit"),
)
"""Title and path of each page of the navigation."""
ROUTES = (
    *sign_in.ROUTES,
    *jobs.ROUTES,
    *job_log.ROUTES,
    *models.ROUTES,
    *train.ROUTES,
    *try_it.ROUTES,
    *drive.ROUTES,
    *drive_changes.ROUTES,
    *marketplace.ROUTES,
    *settings.ROUTES,
    *audit.ROUTES,
    Route("/portal/static/{hash}/{name}", STATIC_FILES.respond, methods=["GET"]),
)


def create_portal(tenants: Tenants, tokens: Tokens, is_stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """Create the application; streams end once ``is_stopping``.

    Raises:
        StoreError: The tables of a tenant cannot be created.
    """
    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            SandboxError: _refused,
            HTTPException: _unknown,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.state.portal = Portal(Sessions(tenants, tokens), Throttle(), PAGES, is_stopping)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, StoreError):
        logger.error("%s %s: %s", request.method, request.url.path, error)
    if isinstance(error, NotHereError):
        return _page(request, 404, "This is not here", str(error))
    statuses = {FormRefusedError: 403, BodyTooLargeError: 413, BusyError: 503, StoreError: 503}
    return _page(request, statuses.get(type(error), 400), "This was not done", str(error))


async def _unknown(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException) or error.status_code not in {404, 405}:
        raise error
    text = "Nothing is at this address. It may be mistyped, or what was here is deleted."
    return _page(request, error.status_code, "There is no such page", text)


async def _failed(request: Request, _error: Exception) -> Response:
    # The server logs it.
    text = "The sandbox made a mistake; its log, server.log, says which. Go back and try again."
    return _page(request, 500, "The sandbox failed", text)


async def _gone(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("the connection was closed", 400)


def _page(request: Request, status: int, title: str, text: str) -> Response:
    if is_renewal(request) or is_stream(request):
        return PlainTextResponse(text, status)
    session = getattr(request.state, "session", None)
    try:
        values = frame(request, session)
    except SandboxError:
        # The database may be what failed.
        values = frame(request, None)
    return html_response(render("error.html", {**values, "title": title, "text": text}), status)
