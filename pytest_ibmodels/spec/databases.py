"""URLs of databases, as far as they can be judged without opening one; and what is secret in them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE_DATABASE = re.compile(r"sample:[A-Za-z0-9_-]+")
_URL = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://\S*", re.IGNORECASE)
_SECRET = re.compile("pass|pwd|secret|token", re.IGNORECASE)
_LOCAL_FILE = re.compile(r"(sqlite(?:\+[a-z0-9_]+)?:///)([^?].*)")


def is_database(text: str) -> bool:
    """Whether the text is the URL of a database, or names a built-in sample."""
    return bool(_URL.fullmatch(text) or SAMPLE_DATABASE.fullmatch(text))


def from_folder(database: str, folder: Path) -> str:
    """The same URL, where the file of a SQLite database counts from ``folder``; absolute ones stay as they are.

    The file's name is part of a URL already, so `?` and `%` in it mean what they mean there. The folder is a path.
    """
    parts = _LOCAL_FILE.fullmatch(database)
    if parts is None or unquote(parts[2]).startswith(("/", ":memory:", "file:")):
        return database
    # As SQLAlchemy writes the file of a URL.
    return f"{parts[1]}{quote(os.fsencode(folder), safe=' +/')}/{parts[2]}"


def passwords(database: str) -> tuple[str, ...]:
    """Every form in which a message may show the password of a database URL; empty without one."""
    found: set[str] = set()
    for secret in _secrets(database):
        plain = unquote(secret)
        found |= {secret, plain, quote(plain, safe=""), quote(plain)}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def without_password(database: str) -> str:
    """The URL as it may be kept: the same for every password."""
    for secret in passwords(database):
        database = database.replace(secret, "***")
    return database


def _secrets(database: str) -> list[str]:
    try:
        address = urlsplit(database)
    except ValueError:
        return [database]
    # SQLAlchemy ends the user's part at the last `@`, as urlsplit does.
    _user, _colon, password = address.netloc.rpartition("@")[0].partition(":")
    named = [value for name, value in parse_qsl(address.query) if _SECRET.search(name)]
    return [password, *named]
