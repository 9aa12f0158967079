"""Forms that change something: read, checked, and done once."""

import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request

from pytest_ibmodels.sandbox.errors import BodyTooLargeError, SandboxError
from pytest_ibmodels.sandbox.portal.sessions import Session
from pytest_ibmodels.sandbox.storage.portal_tables import FormRow

MAX_FORM_BYTES = 2**20
_FORM_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")
_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.05


class FormRefusedError(SandboxError):
    """A form that did not come from a page of this session: HTTP 403."""


@dataclass(frozen=True)
class Form:
    """A form that was sent and checked.

    Attributes:
        id: Id that the page gave the form, so that a second press does nothing twice.
        fields: Name → value of each field; of several with one name the last.
        lists: The same, with all values of a name.
    """

    id: str
    fields: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]

    def get(self, name: str) -> str:
        """Return a field without surrounding white space; empty if it was not sent."""
        return self.fields.get(name, "").strip()


@dataclass(frozen=True)
class Done:
    """Outcome of an action: a sentence for the person, and the path of the page that shows it."""

    message: str
    location: str


def check_origin(request: Request) -> None:
    """Refuse a request that another site's page sent.

    Raises:
        FormRefusedError: The header ``Origin`` is missing, or names another address.
    """
    origin = request.headers.get("origin", "")
    # The scheme is left out: behind a proxy with TLS, this server does not know it.
    if not origin or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        msg = "this form was not sent by a page of this address, so nothing was done: open the page here, and try again"
        raise FormRefusedError(msg)


async def read_fields(request: Request) -> list[tuple[str, str]]:
    """Read the fields of a form, in order.

    Raises:
        BodyTooLargeError: The form is larger than 1 MiB.
        SandboxError: It has another content type, or too many fields.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        msg = f"a form has the content type application/x-www-form-urlencoded, not {kind[:100]!r}"
        raise SandboxError(msg)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise BodyTooLargeError(MAX_FORM_BYTES)
    try:
        return parse_qsl(body.decode(errors="replace"), keep_blank_values=True, errors="replace", max_num_fields=1000)
    except ValueError:
        msg = "the form has more than 1000 fields"
        raise SandboxError(msg) from None


async def read_form(request: Request, session: Session) -> Form:
    """Read a form and check that a page of this session sent it.

    Raises:
        FormRefusedError: It did not.
        SandboxError: As :func:`read_fields`.
    """
    check_origin(request)
    return checked(await read_fields(request), session)


def checked(pairs: Iterable[tuple[str, str]], session: Session) -> Form:
    """Return the form of these fields if a page of this session sent them.

    Raises:
        FormRefusedError: It did not.
    """
    lists: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        lists[name] = (*lists.get(name, ()), value)
    fields = {name: values[-1] for name, values in lists.items()}
    is_ours = hmac.compare_digest(fields.pop("csrf", "").encode(), session.csrf_token.encode())
    form_id = fields.pop("form_id", "")
    if not is_ours or not _FORM_ID.fullmatch(form_id):
        msg = "this form is from another session, so nothing was done: reload its page, and try again"
        raise FormRefusedError(msg)
    return Form(form_id, fields, lists)


def do_once(session: Session, form: Form, action: Callable[[], Done]) -> FormRow:
    """Run the action of a form and record its outcome; a second press gets the first one's outcome.

    Only :class:`SandboxError` is an outcome. Other errors of the first press are raised there.
    """
    if not session.tables.begin_form(session.id, form.id, time.time()):
        return _first_outcome(session, form)
    outcome = FormRow(succeeded=False, message="the sandbox failed: its log says why", location="")
    try:
        done = action()
        outcome = FormRow(succeeded=True, message=done.message, location=done.location)
    except SandboxError as error:
        outcome = FormRow(succeeded=False, message=str(error), location="")
    finally:
        session.tables.end_form(session.id, form.id, outcome)
    return outcome


def _first_outcome(session: Session, form: Form) -> FormRow:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        found = session.tables.form(session.id, form.id)
        if found is None or found.succeeded is not None:
            break
        time.sleep(_POLL_SECONDS)
    if found is None or found.succeeded is None:
        msg = (
            "this form was sent before, and its outcome is not known: it still runs, or the sandbox was restarted; "
            "look at the page before you send it again"
        )
        return FormRow(succeeded=False, message=msg, location="")
    return found
