"""Databases as the store opens them: which one a URL names, the claim on it, its errors as sentences.

No two tenants, and no two sandboxes, share a database.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pytest_ibmodels.sandbox.errors import BusyError, DataInUseError, SandboxError, StartError, StoreError, UsageError

_NAMING = frozenset({"dbname", "host", "hostaddr", "options", "port", "service", "unix_sock", "unix_socket"})
"""Keys of a URL's query that decide which database is meant. What any other key says does not keep tenants apart."""
_POSTGRESQL_NAME_BYTES = 63
"""PostgreSQL cuts longer names there."""


def refuse_shared_databases(urls: Mapping[str, str | URL]) -> None:
    """Check that the database URLs of all tenants (name to URL) name databases of their own.

    Raises:
        UsageError: two of them name the same one.
    """
    known: dict[object, str] = {}
    for tenant, url in urls.items():
        database = _identity(url)
        other = known.setdefault(database, tenant)
        if other != tenant:
            msg = (
                f"--database: the URLs of the tokens '{other}' and '{tenant}' name the same database; "
                "write {name} in the part that names the database, not in an option of the URL"
            )
            raise UsageError(msg)


def claim_database(url: str | URL) -> IO[str] | None:
    """Lock the file of a SQLite database for as long as the returned file is open; None for all other databases.

    Raises:
        DataInUseError: another sandbox, or another tenant of this one, has it.
        StartError: the file cannot be made.
    """
    file = sqlite_file(url)
    if file is None:
        return None
    try:
        lock = Path(f"{file}-lock").open("a+")  # noqa: SIM115 - it is held for as long as the store is
    except OSError as error:
        msg = f"the database cannot be opened: '{file}': {error.strerror or error}"
        raise StartError(msg) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        msg = f"the database '{file}' is in use by another sandbox; give this one another --database"
        raise DataInUseError(msg) from None
    return lock


def sqlite_file(url: str | URL) -> Path | None:
    """The file of a SQLite database, with all links resolved; None if it is in memory, or no SQLite database."""
    parsed = _parsed(url)
    if parsed is None or parsed.get_backend_name() != "sqlite":
        return None
    name = parsed.database or ""
    if name.startswith("file:") and _all_of(parsed, "uri"):
        # SQLite reads this as a URI of its own; its path may begin with `//` and the name of this machine.
        name = unquote(name.removeprefix("file:").partition("#")[0])
        name = "/" + name[2:].partition("/")[2] if name.startswith("//") else name
    in_memory = name in {"", ":memory:"} or "memory" in _all_of(parsed, "mode")
    return None if in_memory else Path(os.path.realpath(name))


def _identity(url: str | URL) -> object:
    """A value that is equal for all URLs of the same database."""
    parsed = _parsed(url)
    if parsed is None:
        return str(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return sqlite_file(parsed)
    options = tuple((key, _all_of(parsed, key)) for key in sorted(_NAMING & parsed.query.keys()))
    name = parsed.database or ""
    # Other servers than PostgreSQL may take names of different case for the same.
    name = (
        name.encode()[:_POSTGRESQL_NAME_BYTES].decode("utf-8", "replace") if backend == "postgresql" else name.lower()
    )
    return backend, (parsed.host or "").lower(), parsed.port, name, options


def _all_of(url: URL, key: str) -> tuple[str, ...]:
    return tuple(url.normalized_query.get(key, ()))


def _parsed(url: str | URL) -> URL | None:
    """None for what is no URL; to open it says why."""
    try:
        parsed = make_url(url)
        parsed.get_backend_name()
    except (SQLAlchemyError, ValueError):
        return None
    return parsed


def open_engine(url: str | URL) -> Engine:
    """An engine for the store's database.

    Raises:
        StartError: the URL is none, or its driver is missing.
    """
    try:
        engine = create_engine(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise not_opened(error) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def not_opened(error: Exception) -> StartError:
    return StartError(f"the database cannot be opened: {str(error).splitlines()[0]}")


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn errors of the database into sentences.

    Raises:
        BusyError: the database cannot be used at present.
        StoreError: it cannot be used.
    """
    try:
        yield
    # A value of a damaged database that is no JSON any more is a ValueError.
    except (SQLAlchemyError, ValueError) as error:
        raise _as_sentence(error) from error


def _as_sentence(error: Exception) -> SandboxError:
    reason = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = (str(reason).splitlines() or [type(reason).__name__])[0]
    match getattr(reason, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            what = f"cannot be written ({text}): free some space below its --data, then ask again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            what = (
                f"is damaged ({text}): stop the sandbox, put a copy of 'sandbox.sqlite' from before in its place, "
                "or move it away, which forgets jobs, models and packages and leaves the drive as it is"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_NOMEM:
            return BusyError(f"the sandbox's database: {text}")
        case sqlite3.SQLITE_CANTOPEN if _is_out_of_files():
            return BusyError("the sandbox's database: too many open files")
        case _:
            what = f"failed: {text}"
    return StoreError(f"the sandbox's database {what}")


def _is_out_of_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE}
    return False


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Readers never wait for the writer, and a killed server loses nothing that was committed.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA busy_timeout=10000")
