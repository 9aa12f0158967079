"""Database URLs: fill in variables, parse, and display without passwords."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from ibformers.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import URL

_VARIABLE = re.compile(r"\$\{(\w+)\}")
# As SQLAlchemy's make_url reads the user part, a password has any character but `@`.
_PARTS = re.compile(r"(?P<scheme>[^:/]+://)(?P<user>[^:/@]*(?::[^@]*)?@)?(?P<place>[^?]*)(?P<query>\?.*)?", re.DOTALL)
_SECRET = re.compile("pass|pwd|secret|token", re.IGNORECASE)
_SAFE = (("scheme", "+"), ("user", ""), ("place", "/:@[],"), ("query", ""))
"""Parts of a URL, each with the characters of a variable's value that are not quoted there."""

_EXAMPLES = (
    "sqlite:///reviews.db, postgresql+psycopg://user:password@host/name or iris://user:password@host:1972/NAMESPACE"
)


def fill_variables(url: str, environ: Mapping[str, str]) -> str:
    """Replace each `${VARIABLE}` by its value, quoted for its part of the URL, so a variable holds a plain password.

    The value of a variable that stands for the whole URL or its beginning is not quoted.

    Raises:
        RequestRefused: a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in environ:
            raise RequestRefused(f"Setting database: the environment variable {found[1]} is not set.", "database")
        return environ[found[1]]

    parts = _PARTS.fullmatch(url)
    if parts is None:
        return _VARIABLE.sub(value, url)
    return "".join(
        _VARIABLE.sub(lambda found, safe=safe: quote(value(found), safe=safe), parts[name] or "")
        for name, safe in _SAFE
    )


def parse_url(url: str) -> URL:
    """Parse a URL.

    Raises:
        RequestRefused: the URL is invalid, or a part of its password may be outside the password, where it would be
            displayed. The message leaves the URL out.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    parts = _PARTS.fullmatch(url)
    if parts is not None and parts["user"] and "@" in url[parts.end("user") :]:
        raise RequestRefused(
            "Setting database: the URL has an @ in a wrong place. In a user, password or name of a database @ is "
            "written %40; write ${VARIABLE} for a password, and it is quoted by itself.",
            "database",
        )
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # The message leaves the URL out, which may hold a password. A port that is no number raises ValueError.
        raise RequestRefused(f"Setting database: not a SQLAlchemy URL, such as {_EXAMPLES}.", "database") from None


def has_plain_password(url: str) -> bool:
    """Return whether the URL contains a password that is not a variable."""
    parts = _PARTS.fullmatch(url)
    if parts is None:
        return False
    named = [value for name, value in parse_qsl((parts["query"] or "")[1:]) if _SECRET.search(name)]
    return any(_VARIABLE.sub("", text) for text in ((parts["user"] or "")[:-1].partition(":")[2], *named))


def shown_url(url: URL) -> str:
    """Return the URL without its password and without its query, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


def error_reason(error: Exception, url: URL) -> str:
    """Return the first line of a driver's error message, without passwords."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    named = [text for name, values in url.normalized_query.items() if _SECRET.search(name) for text in values]
    reason = lines[0]
    for secret in sorted({str(url.password or ""), *named} - {""}, key=len, reverse=True):
        reason = reason.replace(secret, "***")
    return reason
