"""URLs of databases, as far as they can be judged without opening one; and what is secret in them."""

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
# The user's part as SQLAlchemy's make_url reads it: a password may hold any character but `@`.
_PARTS = re.compile(r"(?P<scheme>[\w+\0]+://)(?P<user>[^:/@]*(?::[^@]*)?@)?(?P<place>[^?]*)(?P<query>\?.*)?", re.DOTALL)
_MARK = re.compile("\0(\\d+)\0")
_LOCAL_FILE = re.compile(r"(sqlite(?:\+[a-z0-9_]+)?:///)([^?].*)")
_SAFE = (("scheme", "+"), ("user", ""), ("place", "/:@[],"), ("query", ""))
"""Parts of a URL, and the characters that are not quoted in the value of a variable there."""


def is_database(text: str) -> bool:
    """Whether the text is the URL of a database, or names a built-in sample."""
    return bool(_URL.fullmatch(text) or SAMPLE_DATABASE.fullmatch(text))


def from_folder(database: str, folder: Path) -> str:
    """The same URL, where the file of a SQLite database counts from ``folder``; absolute ones stay as they are.

    The file's name is part of a URL already, so `?` and `%` in it mean what they mean there. The folder is a path.
    """
    parts = _LOCAL_FILE.fullmatch(database)
    if parts is None:
        return database
    uri = "file:" if parts[2].startswith("file:") else ""
    name = parts[2].removeprefix(uri)
    if not name or unquote(name).startswith(("/", ":memory:", "?")):
        return database
    # As SQLAlchemy writes the file of a URL; in a URI, SQLite undoes the quoting of the path once more.
    path = quote(os.fsencode(folder), safe=" +/")
    return f"{parts[1]}{uri}{quote(path, safe=' +/') if uri else path}/{name}"


def passwords(database: str) -> tuple[str, ...]:
    """Every form in which a message may show the password of a database URL; empty without one."""
    found: set[str] = set()
    for secret in _secrets(database):
        plain = unquote(secret)
        found |= {secret, plain, quote(plain, safe=""), quote(plain)}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def has_plain_password(database: str) -> bool:
    """Whether a password is written in the URL, and not as a variable."""
    return any(not has_variables(unquote(secret)) for secret in passwords(database))


def without_password(database: str) -> str:
    """The URL as it may be kept: the same for every password."""
    for secret in passwords(database):
        database = database.replace(secret, "***")
    return database


def has_stray_at(database: str) -> bool:
    """Whether an `@` stands where none belongs, so that what follows the first one may be a part of the password."""
    parts = _PARTS.fullmatch(database)
    return parts is not None and parts["user"] is not None and "@" in database[parts.end("user") :]


def fill_in(database: str, environ: Mapping[str, str]) -> Expanded:
    """Fill in the variables of a URL, each quoted for the place where it stands.

    A password is quoted in full, so that a variable holds the password itself. A variable that holds the whole URL, or
    its beginning, is taken as it is.
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
