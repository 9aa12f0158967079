"""Rows of a database table, streamed: labels and texts, as they are.

Names are plain identifiers that the database's own catalogue has, quoted by SQLAlchemy; values are bound. So no text of
a request is ever part of a statement.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from ibformers.databases.url import (
    error_reason,
    parse_url,
    shown_url,
)
from ibformers.errors import DatabaseUnavailable, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Engine, Inspector, Select
    from sqlalchemy.engine import URL

BATCH = 1000
"""Rows that are fetched at once."""

Row = tuple[Any, ...]
"""Label, text, and the values of further columns, as the database gives them."""

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
"""No further columns."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXTRAS = {"postgresql": "postgres", "iris": "iris"}


class RowSource(Protocol):
    """Where rows come from."""

    def read(
        self, table: str, columns: tuple[str, str], limit: int | None, further: Mapping[str, str] = NO_COLUMNS
    ) -> contextlib.AbstractContextManager[Iterable[Row]]:
        """Open a table; the rows are streamed while the context is open.

        Args:
            table: its name, with its schema if need be.
            columns: the column of the label, and that of the text.
            limit: most rows; None is all.
            further: columns whose values follow the text in each row, by the field of the request that names them. It
                is left out where there are none, so that a source without it serves all requests that need none.

        Raises:
            RequestRefused: the table or a column is not there.
            DatabaseUnavailable: the database cannot be read.
        """
        ...


class DatabaseRows:
    """Rows of any database that SQLAlchemy reads.

    Args:
        url: as of SQLAlchemy: `sqlite:///FILE`, `postgresql+psycopg://…`, `iris://…`.
    """

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine behind it, made when it is first needed."""
        if self._engine is None:
            self._engine = _engine(self._url)
        return self._engine

    @contextlib.contextmanager
    def read(
        self, table: str, columns: tuple[str, str], limit: int | None, further: Mapping[str, str] = NO_COLUMNS
    ) -> Iterator[Iterable[Row]]:
        """Open a table, see `RowSource.read`. A row comes once; without a primary key in no certain order."""
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        schema, name = split_name(table)
        for field, column in named_columns(columns, further):
            _plain(column, field)
        try:
            with self.engine.connect() as connection:
                statement = select_rows(inspect(connection), schema, name, columns, limit, further)
                streaming = connection.execution_options(stream_results=True, yield_per=BATCH)
                with contextlib.closing(streaming.execute(statement)) as result:
                    yield (tuple(row) for row in result)
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(
                f"The database {shown_url(self._url)} cannot be read: {error_reason(error, self._url)}", "database"
            ) from None
        except RuntimeError as error:
            # The driver of IRIS raises this where no server answers.
            if self._url.get_backend_name() != "iris":
                raise
            raise DatabaseUnavailable(
                f"The database {shown_url(self._url)} cannot be read: {error_reason(error, self._url)}", "database"
            ) from None


def select_rows(
    catalogue: Inspector,
    schema: str | None,
    name: str,
    columns: tuple[str, str],
    limit: int | None,
    further: Mapping[str, str] = NO_COLUMNS,
) -> Select[Any]:
    """Build the statement that reads the rows, with the names as the catalogue has them.

    Args:
        catalogue: what the database says of itself.
        schema: a plain name, or None for the default schema.
        name: of the table or view, a plain name.
        columns: of label and text, plain names.
        limit: most rows; the primary key, if there is one, decides which.
        further: columns beside these, plain names, by the field of the request that names them.

    Raises:
        RequestRefused: the catalogue does not have one of the names.
    """
    from sqlalchemy import column, select, table

    if schema is not None:
        schema = _schema(catalogue, schema)
    tables = catalogue.get_table_names(schema)
    readable = [*tables, *catalogue.get_view_names(schema), *_other_names(catalogue, schema)]
    name = _existing(name, readable, "table", f"table {name} in {schema or 'the database'}")
    there = [found["name"] for found in catalogue.get_columns(name, schema)]
    chosen = [
        _existing(wanted, there, field, f"column {wanted} in table {name}")
        for field, wanted in named_columns(columns, further)
    ]
    keys = catalogue.get_pk_constraint(name, schema)["constrained_columns"] if name in tables else []
    source = table(name, *(column(each) for each in {*chosen, *keys}), schema=schema)
    statement = select(*(source.c[each] for each in chosen))
    if keys:
        statement = statement.order_by(*(source.c[each] for each in keys))
    return statement if limit is None else statement.limit(limit)


def named_columns(columns: tuple[str, str], further: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return all columns that are read, in their order, each after the field of the request that names it."""
    return [*(("columns", column) for column in columns), *further.items()]


def split_name(table: str) -> tuple[str | None, str]:
    """Return schema (or None) and name of a table.

    Raises:
        RequestRefused: they are no plain names.
    """
    schema, _, name = table.rpartition(".")
    if "." in table:
        _plain(schema, "table")
    return schema or None, _plain(name, "table")


def _plain(name: str, field: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise RequestRefused(
            f"Train request: {field} has {name!r}, which is no plain name (letters, digits and _; a table may have its "
            "schema before a dot).",
            field,
        )
    return name


def _other_names(catalogue: Inspector, schema: str | None) -> list[str]:
    """Return what is read like a table, but is in the catalogue neither as a table nor as a view."""
    names: list[str] = []
    for kind in ("get_materialized_view_names", "get_foreign_table_names"):
        # Not every database has them, and some of its dialects say so by raising.
        with contextlib.suppress(AttributeError, NotImplementedError):
            names += getattr(catalogue, kind)(schema)
    return names


def _schema(catalogue: Inspector, schema: str) -> str | None:
    schemas = catalogue.get_schema_names()
    if catalogue.dialect.name == "sqlite" and schema not in schemas:
        # SQLite has no schemas but attached databases: what is `iris.Review` in production is `Review` there.
        return None
    return _existing(schema, schemas, "table", f"schema {schema} in the database")


def _existing(name: str, there: Sequence[str], field: str, what: str) -> str:
    """Return the name as the catalogue has it; as in SQL, case matters only where it tells two names apart."""
    if name in there:
        return name
    same = [other for other in there if other.lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    close = difflib.get_close_matches(name, there, n=1)
    hint = f"did you mean {close[0]}?" if close else f"There is: {', '.join(sorted(there)[:10]) or 'nothing'}."
    raise RequestRefused(f"Train request: {field}: there is no {what}. {hint[0].upper()}{hint[1:]}", field)


def _engine(url: URL) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError
    from sqlalchemy.pool import NullPool

    file = _sqlite_file(url)
    if file is not None and not file.is_file():
        raise DatabaseUnavailable(
            f"Setting database: there is no file {file}; `ibmodels load` makes one from CSV.", "database"
        )
    try:
        # Trainings are hours or days apart: no connection stays open between them.
        return create_engine(url, poolclass=NullPool)
    except (NoSuchModuleError, ImportError):
        extra = _EXTRAS.get(url.get_backend_name())
        hint = f"pip install 'pytest-ibmodels[{extra}]'" if extra else "install its driver and dialect"
        raise DatabaseUnavailable(
            f"Setting database: {url.drivername} is not installed here: {hint}.", "database"
        ) from None
    except (TypeError, ValueError):
        # The value is not shown: it may be a password.
        raise RequestRefused(
            f"Setting database: an argument after the ? of the URL has a value that {url.drivername} cannot use.",
            "database",
        ) from None


def _sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite database; None for another database, and for one in memory.

    Raises:
        RequestRefused: the URL has a URI of SQLite, and does not say so.
    """
    name = url.database
    if url.get_backend_name() != "sqlite" or not name:
        return None
    if str(url.query.get("uri", "")).lower() not in {"true", "1", "yes", "on", "y", "t"}:
        if name.startswith("file:") and not Path(name).is_file():
            raise RequestRefused(
                f"Setting database: {name} is a URI of SQLite, which needs `uri=true` at the end of the URL, such as "
                "sqlite:///file:reviews.db?mode=ro&uri=true.",
                "database",
            )
        return None if name == ":memory:" else Path(name)
    address = urlsplit(name)
    in_memory = url.query.get("mode") == "memory" or url.query.get("vfs") or address.path in {"", ":memory:"}
    return None if in_memory else Path(unquote(address.path) if address.scheme == "file" else name)
