"""Errors of databases as sentences that say what to do, without passwords."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ibmodels.history.errors import HistoryError
from pytest_ibmodels.spec.databases import passwords

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_ELSEWHERE = "set ibmodels_history to another database, or to none"

_ADVICE = (
    (r"read-?only", f"it is read-only: allow this user to write it, or {_ELSEWHERE}"),
    (r"permission denied|EACCES|not permitted", f"this user may not use it: give the user rights, or {_ELSEWHERE}"),
    (r"disk is full|No space left|could not extend", f"the disk is full: free some space, or {_ELSEWHERE}"),
    (r"is locked|lock timeout", "another process holds its lock for too long: end that process, or try again later"),
    (r"not a database|malformed|disk image", f"it is damaged, or no database: move the file away, or {_ELSEWHERE}"),
    (r"unable to open|No such file|Not a directory", f"it cannot be opened: create its folder, or {_ELSEWHERE}"),
    (
        r"connection (failed|refused|timeout|to server)|could not connect|timed? ?out|resolve host|server closed",
        f"it cannot be reached: check host, port and network, or {_ELSEWHERE}",
    ),
)
"""Words of a database's error, and what to do. Sources: messages of SQLite, PostgreSQL and the operating system."""

_EXTRAS = {"postgresql": "postgres", "iris": "iris"}


def explain(error: BaseException, url: URL) -> HistoryError:
    """Return an error of the database as a `HistoryError`: which history, what to do, and the database's own words."""
    reason = _reason(error, url)
    advice = next((advice for words, advice in _ADVICE if re.search(words, reason, re.IGNORECASE)), "")
    return HistoryError(f"the history {shown(url)} cannot be used: {f'{advice} ({reason})' if advice else reason}")


def missing_driver(url: URL) -> str:
    """Return a sentence on a driver that is not installed."""
    extra = _EXTRAS.get(url.get_backend_name())
    what = f": pip install 'pytest-ibmodels[{extra}]'" if extra else f"; install it, or {_ELSEWHERE}"
    return f"the history {shown(url)} needs the driver {url.drivername}, which is not installed{what}"


def shown(url: URL) -> str:
    """Return a URL for messages, without password and options."""
    return url.set(query={}).render_as_string(hide_password=True)


def _reason(error: BaseException, url: URL) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    reason = (text.splitlines() or [type(error).__name__])[0]
    for secret in passwords(url.render_as_string(hide_password=False)):
        reason = reason.replace(secret, "***")
    return reason
