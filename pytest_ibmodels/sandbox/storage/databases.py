"""Database of a tenant: identity of a URL, lock, and errors as messages.

Tenants and sandboxes do not share databases.
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pytest_ibmodels.sandbox.errors import BusyError, DataInUseError, SandboxError, StartError, StoreError, UsageError
from pytest_ibmodels.sandbox.storage.locks import open_locked

_NAMING = frozenset({"dbname", "host", "hostaddr", "options", "port", "service", "unix_sock", "unix_socket"})
"""Keys of a URL's query that select the database; other keys do not keep tenants apart."""
_POSTGRESQL_NAME_BYTES = 63
"""PostgreSQL truncates longer names."""
_POOL = {"pool_size": 4, "max_overflow": 8, "pool_timeout": 10.0, "pool_pre_ping": True}
"""PostgreSQL allows 100 connections by default; a tenant of a server takes at most 12."""
_LIBPQ = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "tcp_user_timeout": 10_000}
"""Options that notice within about ten seconds that the machine of the database is gone."""
_FROZEN_SERVER = "SET idle_in_transaction_session_timeout = '3s'; SET lock_timeout = '10s'"
"""PostgreSQL ends the transaction of a server that is frozen, which may hold the locks that all need."""
_TEMPORARY = ("08", "25P03", "40", "53", "55P03", "57")
"""Beginnings of PostgreSQL's codes of errors that pass: no connection, timeouts, deadlocks, shortage, a restart."""
_DISK_FULL = "53100"


def refuse_shared_databases(urls: Mapping[str, str | URL]) -> None:
    """Check that the URLs of all tenants (name to URL) name different databases.

    Raises:
        UsageError: two URLs name the same database.
    """
    known: dict[object, str] = {}
    for tenant, url in urls.items():
        database = _identity(url)
        other = known.setdefault(database, tenant)
        if other != tenant:
            raise UsageError(
                f"--database: the URLs of the tokens '{other}' and '{tenant}' name the same database; "
                "write {name} in the part that names the database, not in an option of the URL"
            )


def lock_database(url: str | URL) -> IO[str] | None:
    """Lock a SQLite database until the returned file is closed; None for all other databases.

    Raises:
        DataInUseError: another sandbox, or another tenant of this one, has the database.
        StartError: the lock file cannot be opened.
    """
    file = sqlite_file(url)
    if file is None:
        return None
    try:
        return open_locked(Path(f"{file}-lock"))
    except BlockingIOError:
        raise DataInUseError(
            f"the database '{file}' is in use by another sandbox; give this one another --database"
        ) from None
    except OSError as error:
        raise StartError(f"the database cannot be opened: '{file}': {error.strerror or error}") from error


def is_shared(url: str | URL) -> bool:
    """Return whether several servers may use the database at once."""
    parsed = _parsed(url)
    return parsed is not None and parsed.get_backend_name() == "postgresql"


def sqlite_file(url: str | URL) -> Path | None:
    """File of a SQLite database, with links resolved; None if it is in memory, or not SQLite."""
    parsed = _parsed(url)
    if parsed is None or parsed.get_backend_name() != "sqlite":
        return None
    name = parsed.database or ""
    if name.startswith("file:") and _all_of(parsed, "uri"):
        # SQLite parses this as a URI, whose path may begin with `//` and a host name.
        name = unquote(name.removeprefix("file:").partition("#")[0])
        name = "/" + name[2:].partition("/")[2] if name.startswith("//") else name
    in_memory = name in {"", ":memory:"} or "memory" in _all_of(parsed, "mode")
    return None if in_memory else Path(os.path.realpath(name))


def _identity(url: str | URL) -> object:
    """Value that is equal for all URLs of the same database."""
    parsed = _parsed(url)
    if parsed is None:
        return str(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return sqlite_file(parsed)
    options = tuple((key, _all_of(parsed, key)) for key in sorted(_NAMING & parsed.query.keys()))
    name = parsed.database or ""
    # Servers other than PostgreSQL may ignore case.
    name = (
        name.encode()[:_POSTGRESQL_NAME_BYTES].decode("utf-8", "replace") if backend == "postgresql" else name.lower()
    )
    return backend, (parsed.host or "").lower(), parsed.port, name, options


def _all_of(url: URL, key: str) -> tuple[str, ...]:
    return tuple(url.normalized_query.get(key, ()))


def _parsed(url: str | URL) -> URL | None:
    """Parsed URL; None if it is invalid, which :func:`open_engine` reports."""
    try:
        parsed = make_url(url)
        parsed.get_backend_name()
    except (SQLAlchemyError, ValueError):
        return None
    return parsed


def open_engine(url: str | URL) -> Engine:
    """Create the engine of the store's database.

    Raises:
        StartError: the URL is invalid, or its driver is missing.
    """
    try:
        engine = create_engine(url, **(_shared_engine(make_url(url)) if is_shared(url) else {}))
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise not_opened(error) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _shared_engine(url: URL) -> dict[str, Any]:
    """Arguments of the engine of a database that is perhaps on another machine, and may restart at any time."""
    libpq = url.get_driver_name() in {"psycopg", "psycopg2"}
    given = {key: value for key, value in _LIBPQ.items() if libpq and key not in url.query}
    # Without BEGIN and COMMIT, single statements need half of the messages.
    return {**_POOL, "connect_args": given, "isolation_level": "AUTOCOMMIT"}


def not_opened(error: Exception) -> StartError:
    return StartError(f"the database cannot be opened: {str(error).splitlines()[0]}")


@contextlib.contextmanager
def translate_database_errors() -> Iterator[None]:
    """Turn errors of the database into :class:`SandboxError`.

    Raises:
        BusyError: the database is busy.
        StoreError: any other error.
    """
    try:
        yield
    # Invalid JSON in a damaged database raises ValueError.
    except (SQLAlchemyError, ValueError) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> SandboxError:
    reason = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = (str(reason).splitlines() or [type(reason).__name__])[0]
    if _is_temporary(error, reason):
        return BusyError(f"the sandbox's database: {text}")
    match getattr(reason, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            what = f"cannot be written ({text}): free some space below its --data, then retry"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            what = (
                f"is damaged ({text}): stop the sandbox, put a copy of 'sandbox.sqlite' from before in its place, "
                "or move it away, which forgets jobs, models and packages and leaves the drive as it is"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_NOMEM:
            return BusyError(f"the sandbox's database: {text}")
        case sqlite3.SQLITE_CANTOPEN if _is_out_of_files():
            return BusyError("the sandbox's database: too many open files")
        case _ if _postgresql_code(reason) == _DISK_FULL:
            what = f"cannot be written ({text}): free some space on its machine, then retry"
        case _:
            what = f"failed: {text}"
    return StoreError(f"the sandbox's database {what}")


def _is_temporary(error: Exception, reason: BaseException) -> bool:
    """Return whether PostgreSQL, or the pool of its connections, will probably accept the same call in a moment."""
    if isinstance(error, PoolTimeoutError):
        return True
    code = _postgresql_code(reason)
    if code is not None:
        return code.startswith(_TEMPORARY) and code != _DISK_FULL
    # Without a code there is no answer of the database at all.
    return isinstance(error, OperationalError | InterfaceError) and not isinstance(reason, sqlite3.Error)


def _postgresql_code(reason: BaseException) -> str | None:
    code = getattr(reason, "sqlstate", None) or getattr(reason, "pgcode", None)
    return code if isinstance(code, str) else None


def _is_out_of_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE}
    return False


def _set_up_postgresql(connection: Any, _record: object) -> None:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(_FROZEN_SERVER)
    connection.commit()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Readers do not wait for the writer, and a killed server keeps all committed data.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA busy_timeout=10000")
