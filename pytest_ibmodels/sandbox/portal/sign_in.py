"""Pages to sign in and out."""

import asyncio
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from pytest_ibmodels.sandbox.portal.forms import check_origin, read_fields
from pytest_ibmodels.sandbox.portal.rendering import html_response, render
from pytest_ibmodels.sandbox.portal.sessions import LONGEST_SECONDS
from pytest_ibmodels.sandbox.portal.visits import HOME, SIGN_IN, Portal, Visit, cookie_name, frame, page, redirect

_FAILURE_SECONDS = 0.5
"""Delay of the answer to a wrong token."""
_MAX_SECRET = 4096


async def ask(request: Request) -> Response:
    """Show the form to sign in; a one-time code of the query is filled in, and used only once the form is sent."""
    values = {"next": _local(request.query_params.get("next", "")), "code": request.query_params.get("code", "")[:100]}
    return _form(request, 200, values)


async def sign_in(request: Request) -> Response:
    """Exchange a token or a one-time code for a session."""
    check_origin(request)
    portal: Portal = request.app.state.portal
    pairs = await read_fields(request)
    fields = dict(pairs)
    kept = [(name.removeprefix("kept."), value) for name, value in pairs if name.startswith("kept.")]
    values = {"next": _local(fields.get("next", "")), "kept_path": _local(fields.get("kept_path", "")), "kept": kept}
    address = request.client.host if request.client else ""
    seconds = portal.throttle.wait_seconds(address)
    if seconds:
        problem = f"Too many wrong tokens from this address: try again in {seconds / 60:.0f} min."
        return _form(request, 429, {**values, "problem": problem}, {"Retry-After": str(round(seconds) + 1)})
    cookie = await run_in_threadpool(portal.sessions.sign_in, fields.get("secret", "").strip()[:_MAX_SECRET])
    if cookie is None:
        portal.throttle.count_failure(address)
        await asyncio.sleep(_FAILURE_SECONDS)
        problem = "This is neither a token of this sandbox nor a one-time code that is still good."
        return _form(request, 401, {**values, "problem": problem})
    portal.throttle.forgive(address)
    if values["kept_path"]:
        session = await run_in_threadpool(portal.sessions.find, cookie, is_use=False)
        response = html_response(render("send_again.html", {**frame(request, session), **values}))
    else:
        response = redirect(str(values["next"]) or HOME)
    response.set_cookie(
        cookie_name(request), cookie, max_age=int(LONGEST_SECONDS), path="/portal",
        secure=request.url.scheme == "https", httponly=True, samesite="strict",
    )  # fmt: skip
    return response


def sign_out(visit: Visit) -> Response:
    """End the session, in all windows."""
    visit.session.tables.end_session(visit.session.id)
    response = redirect(SIGN_IN)
    response.delete_cookie(cookie_name(visit.request), path="/portal", httponly=True, samesite="strict")
    return response


async def home(_request: Request) -> Response:
    return redirect(HOME)


def _form(request: Request, status: int, values: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    empty = {"problem": "", "code": "", "next": "", "kept_path": "", "kept": []}
    return html_response(render("sign_in.html", {**frame(request, None), **empty, **values}), status, headers)


def _local(path: str) -> str:
    """Return the path of a page of the portal; empty for anything else, such as another site's address."""
    return path if path.startswith("/portal/") and "\\" not in path and path.isprintable() else ""


ROUTES = (
    Route("/", home, methods=["GET"]),
    Route("/portal", home, methods=["GET"]),
    Route("/portal/", home, methods=["GET"]),
    Route(SIGN_IN, ask, methods=["GET"]),
    Route(SIGN_IN, sign_in, methods=["POST"]),
    page("/portal/sign-out", sign_out, method="POST"),
)
