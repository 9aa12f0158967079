"""URLs of databases: check them, resolve them, and find the passwords in them, without opening a database."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote

from pytest_ibmodels.spec.variables import REFERENCE, Expanded, expand, has_variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SAMPLE_DATABASE = re.compile(r"sample:[A-Za-z0-9_-]+")
_URL = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://\S*", re.IGNORECASE)
_SECRET = re.compile("pass|pwd|secret|token", re.IGNORECASE)
# SQLAlchemy's make_url reads the user's part like this: a password may contain any character but `@`.
_PARTS = re.compile(
    r"(?P<scheme>[\w+\0]+://)(?P<user>[^:/@]*(?::[^@]*)?@)?(?P<location>[^?]*)(?P<query>\?.*)?", re.DOTALL
)
_MARK = re.compile("\0(\\d+)\0")
_LOCAL_FILE = re.compile(r"(sqlite(?:\+[a-z0-9_]+)?:///)([^?].*)")
_SAFE = (("scheme", "+"), ("user", ""), ("location", "/:@[],"), ("query", ""))
"""Parts of a URL, each with the characters that stay unquoted in the value of a variable there."""


def is_database(text: str) -> bool:
    """Return whether the text is the URL of a database or the name of a built-in sample."""
    return bool(_URL.fullmatch(text) or SAMPLE_DATABASE.fullmatch(text))


def resolve_sqlite_file(database: str, folder: Path) -> str:
    """Resolve the file of a SQLite URL relative to `folder`; other URLs are returned unchanged.

    `?` and `%` in the file's name keep their meaning in a URL. The folder is a path, so it is quoted.
    """
    parts = _LOCAL_FILE.fullmatch(database)
    if parts is None:
        return database
    uri = "file:" if parts[2].startswith("file:") else ""
    name = parts[2].removeprefix(uri)
    if not name or unquote(name).startswith(("/", ":memory:", "?")):
        return database
    # SQLAlchemy unquotes the file of a URL; SQLite unquotes the path of a URI a second time.
    path = quote(os.fsencode(folder), safe=" +/")
    return f"{parts[1]}{uri}{quote(path, safe=' +/') if uri else path}/{name}"


def passwords(database: str) -> tuple[str, ...]:
    """Every form in which a message may show a password of a database URL, longest first; empty without one."""
    found: set[str] = set()
    for secret in _secrets(database):
        plain = unquote(secret)
        found |= {secret, plain, quote(plain, safe=""), quote(plain)}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def has_plain_password(database: str) -> bool:
    """Return whether the URL contains a password that is not a variable."""
    return any(not has_variables(unquote(secret)) for secret in passwords(database))


def without_password(database: str) -> str:
    """The URL with `***` in the place of its passwords."""
    for secret in passwords(database):
        database = database.replace(secret, "***")
    return database


def has_stray_at(database: str) -> bool:
    """Return whether the URL has a misplaced `@`: the text after its first `@` may be part of the password."""
    parts = _PARTS.fullmatch(database)
    return parts is not None and parts["user"] is not None and "@" in database[parts.end("user") :]


def fill_in(database: str, environ: Mapping[str, str]) -> Expanded:
    """Fill in the variables of a URL, each quoted for its part of the URL.

    The value of a variable for a password is the plain password, because it is quoted in full. A variable for the
    whole URL or its beginning is not quoted.
    """
    if "\0" in database:
        return expand(database, environ)
    texts: list[str] = []
    missing: list[str] = []

    def keep(reference: re.Match[str]) -> str:
        expanded = expand(reference[0], environ)
        missing.extend(expanded.missing)
        texts.append(expanded.text)
        return f"\0{len(texts) - 1}\0"

    marked = REFERENCE.sub(keep, database)
    parts = _PARTS.fullmatch(marked)

    def filled(text: str, safe: str) -> str:
        return _MARK.sub(lambda mark: quote(texts[int(mark[1])], safe=safe), text)

    if parts is None:
        text = _MARK.sub(lambda mark: texts[int(mark[1])], marked)
    else:
        text = "".join(filled(parts[name] or "", safe) for name, safe in _SAFE)
    return Expanded(text, tuple(dict.fromkeys(missing)))


def _secrets(database: str) -> list[str]:
    parts = _PARTS.fullmatch(database)
    if parts is None:
        return [database] if "://" in database else []
    user = parts["user"] or ""
    if has_stray_at(database):
        user = database[len(parts["scheme"]) : database.rindex("@") + 1]
    password = user[:-1].partition(":")[2]
    named = [value for name, value in parse_qsl((parts["query"] or "")[1:]) if _SECRET.search(name)]
    return [password, *named]
