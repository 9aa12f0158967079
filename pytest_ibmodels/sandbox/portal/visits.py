"""Visits: one request of a person who is signed in, and what a page does with it."""

import inspect
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.portal.database_fields import shown_fields
from pytest_ibmodels.sandbox.portal.forms import Done, Form, check_origin, do_once, read_fields, read_form
from pytest_ibmodels.sandbox.portal.rendering import html_response, live, render
from pytest_ibmodels.sandbox.portal.sessions import Session, Sessions
from pytest_ibmodels.sandbox.portal.throttle import Throttle
from pytest_ibmodels.sandbox.portal.uploads import skip
from pytest_ibmodels.sandbox.services.tenant import Tenant

SIGN_IN = "/portal/sign-in"
HOME = "/portal/jobs"


class NotHereError(SandboxError):
    """A page whose subject does not exist: HTTP 404."""


@dataclass(frozen=True)
class Portal:
    """State of the portal, at ``request.app.state.portal``.

    Attributes:
        pages: Title and path of each page that the navigation names.
        is_stopping: Whether the server is about to stop, which ends streams.
    """

    sessions: Sessions
    throttle: Throttle
    pages: Sequence[tuple[str, str]]
    is_stopping: Callable[[], bool]


@dataclass(frozen=True)
class Visit:
    """A request of a person who is signed in.

    Attributes:
        form: The form that was sent, checked; empty for GET.
    """

    request: Request
    session: Session
    form: Form

    @property
    def tenant(self) -> Tenant:
        return self.session.tenant

    @property
    def who(self) -> str:
        """Name of the person in the audit."""
        return f"{self.tenant.shown_name} (portal)"

    def path(self, name: str) -> str:
        """Return a part of the path, named in the route."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        """Return a parameter of the query; empty if it is missing."""
        return self.request.query_params.get(name, "").strip()

    def render(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """Answer with a page, whose template extends ``layout.html``."""
        return html_response(render(template, {**frame(self.request, self.session), **values}), status)

    def render_live(self, template: str, part: str, seconds: float | None, /, **values: Any) -> Response:
        """Answer with a page that has a part which renews itself; its requests are answered with the part alone.

        Args:
            template: Template of the page, which places the part with ``{{ live_part(live) }}``.
            part: Template of the part.
            seconds: Interval; None if the part changes no more.
            values: Values of both templates.
        """
        all_values = {**frame(self.request, self.session), **values}
        renewed = live(part, self._own_url(), seconds, all_values)
        if not is_renewal(self.request):
            return html_response(render(template, {**all_values, "live": renewed}))
        if self.request.headers.get("x-seen") == renewed.seen and seconds is not None:
            return Response(status_code=204)
        return html_response(render("live.html", {"live": renewed}))

    def act(self, action: Callable[[], Done], again: Callable[[str], Response]) -> Response:
        """Do what the form asks for, once, and answer with a redirect to the page that shows the outcome.

        Args:
            action: Raises :class:`SandboxError` if it fails.
            again: Answers with the form and what was typed, and the reason why the action failed.
        """
        outcome = do_once(self.session, self.form, action)
        if not outcome.succeeded:
            return again(outcome.message)
        return redirect(outcome.location, done=self.form.id)

    def _own_url(self) -> str:
        query = {name: value for name, value in self.request.query_params.items() if name != "done"}
        return quote(self.request.url.path) + (f"?{urlencode(query, errors='replace')}" if query else "")


Handler = Callable[[Visit], Response] | Callable[[Visit], Awaitable[Response]]


def page(path: str, handler: Handler, *, method: str = "GET", has_files: bool = False) -> Route:
    """Return the route of a page for people who are signed in.

    Args:
        path: Path below the root, such as ``/portal/jobs/{job_id}``.
        handler: Answers a visit; a plain function runs in a thread, a coroutine function in the event loop.
        method: ``GET``, or ``POST`` for a form: its origin, its session and its id are checked before.
        has_files: Whether the form has files; the handler then reads and checks it with :func:`read_upload`.
    """

    async def endpoint(request: Request) -> Response:
        portal: Portal = request.app.state.portal
        cookie = request.cookies.get(cookie_name(request), "")
        is_use = not is_renewal(request) and not is_stream(request)
        session = await run_in_threadpool(portal.sessions.find, cookie, is_use=is_use)
        if session is None:
            return await _signed_out(request)
        request.state.session = session
        is_read = request.method == "POST" and not has_files
        form = await read_form(request, session) if is_read else Form("", {}, {})
        visit = Visit(request, session, form)
        if inspect.iscoroutinefunction(handler):
            return cast("Response", await handler(visit))
        return cast("Response", await run_in_threadpool(handler, visit))

    return Route(path, endpoint, methods=[method])


def frame(request: Request, session: Session | None) -> dict[str, Any]:
    """Values that the layout of every page needs."""
    portal: Portal = request.app.state.portal
    values: dict[str, Any] = {
        "pages": portal.pages if session else (),
        "here": request.url.path,
        "tenant_name": session.tenant.shown_name if session else "",
        "csrf_token": session.csrf_token if session else "",
        "new_form_id": lambda: secrets.token_urlsafe(18),
        "now": time.time(),
        "notice": "",
    }
    done = request.query_params.get("done", "")
    outcome = session.tables.form(session.id, done) if session and done and not is_renewal(request) else None
    if outcome is not None and outcome.succeeded:
        values["notice"] = outcome.message
    return values


def redirect(path: str, **query: str) -> Response:
    """Answer with a redirect that is followed by GET."""
    mark = "&" if "?" in path else "?"
    return RedirectResponse(path + (f"{mark}{urlencode(query)}" if query else ""), 303)


def cookie_name(request: Request) -> str:
    """Name of the cookie; a browser keeps one set of cookies for all ports of an address."""
    return f"ibmodels_portal_{request.url.port or request.url.scheme}"


def is_renewal(request: Request) -> bool:
    """Whether a part of a page renews itself."""
    return "hx-request" in request.headers


def is_stream(request: Request) -> bool:
    """Whether the request follows events."""
    return request.headers.get("accept", "").startswith("text/event-stream")


async def _signed_out(request: Request) -> Response:
    if is_renewal(request) or is_stream(request):
        return PlainTextResponse("signed out", 401)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method == "GET":
        return redirect(SIGN_IN, **({} if request.url.path == HOME else {"next": here}))
    # What was typed goes with the person through the sign-in.
    check_origin(request)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        await skip(request.stream())
        problem = "You were signed out, so no file was stored. Sign in, then choose the files again."
        values = {**frame(request, None), "problem": problem, "code": "", "next": here, "kept_path": "", "kept": []}
        return html_response(render("sign_in.html", values), 401)
    kept = shown_fields(field for field in await read_fields(request) if field[0] not in {"csrf", "form_id"})
    values = {**frame(request, None), "problem": "", "code": "", "next": "", "kept_path": here, "kept": kept}
    return html_response(render("sign_in.html", values), 401)
