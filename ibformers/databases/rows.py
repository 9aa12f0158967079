"""Stream labels and texts from a database table.

Names must be plain identifiers of the database's own catalogue and are quoted by SQLAlchemy; values are bound. So no
text of a request becomes part of a statement.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from ibformers.databases.url import error_reason, parse_url, shown_url
from ibformers.errors import DatabaseUnavailable, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine, Inspector, Select
    from sqlalchemy.engine import URL

BATCH = 1000
"""Rows of one fetch."""

Row = tuple[Any, ...]
"""Label, text, and values of further columns, with the types of the database driver."""

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
"""Default of `further`: no further columns."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXTRAS = {"postgresql": "postgres", "iris": "iris"}


class RowSource(Protocol):
    """Source of labelled texts."""

    def read(
        self, table: str, columns: tuple[str, str], limit: int | None, further: Mapping[str, str] = NO_COLUMNS
    ) -> contextlib.AbstractContextManager[Iterable[Row]]:
        """Open a table and stream its rows while the context is open.

        Args:
            table: name of the table, with its schema if necessary.
            columns: names of the label column and the text column.
            limit: maximum number of rows; None is all.
            further: columns whose values follow the text in each row, by the request field that names them. Callers
                pass it only if there are such columns, so a source may lack the parameter.

        Raises:
            RequestRefused: the table or a column does not exist.
            DatabaseUnavailable: the database cannot be read.
        """
        ...


class DatabaseRows:
    """Rows of any database that SQLAlchemy reads.

    Args:
        url: SQLAlchemy URL, such as `sqlite:///FILE`, `postgresql+psycopg://…` or `iris://…`.
    """

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """SQLAlchemy engine, created on first use."""
        if self._engine is None:
            self._engine = _engine(self._url)
        return self._engine

    @contextlib.contextmanager
    def read(
        self, table: str, columns: tuple[str, str], limit: int | None, further: Mapping[str, str] = NO_COLUMNS
    ) -> Iterator[Iterable[Row]]:
        """Open a table, see `RowSource.read`. Without a primary key the order of the rows is undefined."""
        from sqlalchemy import inspect

        schema, name = split_name(table)
        for field, column in named_columns(columns, further):
            check_plain_name(column, field)
        with self.connect() as connection:
            statement = select_rows(inspect(connection), schema, name, columns, limit, further)
            streaming = connection.execution_options(stream_results=True, yield_per=BATCH)
            with contextlib.closing(streaming.execute(statement)) as result:
                yield (tuple(row) for row in result)

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection.

        Raises:
            DatabaseUnavailable: the database cannot be opened, or fails while the connection is open.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self.engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, RuntimeError) as error:
            # The IRIS driver raises RuntimeError if no server answers.
            if isinstance(error, RuntimeError) and self._url.get_backend_name() != "iris":
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
    """Return the statement that reads the rows, with names spelled as in the catalogue.

    Args:
        catalogue: SQLAlchemy's inspector of the database.
        schema: plain name of the schema; None is the default schema.
        name: plain name of the table or view.
        columns: plain names of the label column and the text column.
        limit: maximum number of rows, in the order of the primary key if there is one; None is all.
        further: plain names of further columns, by the request field that names them.

    Raises:
        RequestRefused: a name is not in the catalogue.
    """
    from sqlalchemy import column, select, table

    schema, name = existing_table(catalogue, schema, name)
    there = [found["name"] for found in catalogue.get_columns(name, schema)]
    chosen = [
        _existing(wanted, there, field, f"column {wanted} in table {name}")
        for field, wanted in named_columns(columns, further)
    ]
    is_table = name in catalogue.get_table_names(schema)
    keys = catalogue.get_pk_constraint(name, schema)["constrained_columns"] if is_table else []
    source = table(name, *(column(each) for each in {*chosen, *keys}), schema=schema)
    statement = select(*(source.c[each] for each in chosen))
    if keys:
        statement = statement.order_by(*(source.c[each] for each in keys))
    return statement if limit is None else statement.limit(limit)


def existing_table(catalogue: Inspector, schema: str | None, name: str) -> tuple[str | None, str]:
    """Return the schema of a table or view, or None, and its name, as spelled in the catalogue.

    Raises:
        RequestRefused: the catalogue does not have them.
    """
    if schema is not None:
        schema = _schema(catalogue, schema)
    readable = readable_names(catalogue, schema)
    return schema, _existing(name, readable, "table", f"table {name} in {schema or 'the database'}")


def readable_names(catalogue: Inspector, schema: str | None) -> list[str]:
    """Return the names of all tables, views and other objects of a schema that have rows."""
    return [
        *catalogue.get_table_names(schema),
        *catalogue.get_view_names(schema),
        *_other_names(catalogue, schema),
    ]


def is_plain_name(name: str) -> bool:
    """Return whether a name has letters, digits and underscores only."""
    return _IDENTIFIER.fullmatch(name) is not None


def named_columns(columns: tuple[str, str], further: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return pairs of request field and column name for all columns of a row, in their order."""
    return [*(("columns", column) for column in columns), *further.items()]


def split_name(table: str) -> tuple[str | None, str]:
    """Return the schema of a table, or None, and its name.

    Raises:
        RequestRefused: one of them is not a plain name.
    """
    schema, _, name = table.rpartition(".")
    if "." in table:
        check_plain_name(schema, "table")
    return schema or None, check_plain_name(name, "table")


def check_plain_name(name: str, field: str) -> str:
    """Return the name of a schema, table or column.

    Raises:
        RequestRefused: the name has other characters than letters, digits and underscores.
    """
    if not is_plain_name(name):
        raise RequestRefused(
            f"Train request: {field} has {name!r}, which is not a plain name (letters, digits and _; a table may have "
            "its schema before a dot).",
            field,
        )
    return name


def _other_names(catalogue: Inspector, schema: str | None) -> list[str]:
    """Return the names of readable objects that the catalogue lists neither as tables nor as views."""
    names: list[str] = []
    for kind in ("get_materialized_view_names", "get_foreign_table_names"):
        # A dialect without such objects lacks the method, or raises.
        with contextlib.suppress(AttributeError, NotImplementedError):
            names += getattr(catalogue, kind)(schema)
    return names


def _schema(catalogue: Inspector, schema: str) -> str | None:
    schemas = catalogue.get_schema_names()
    if catalogue.dialect.name == "sqlite" and schema not in schemas:
        # SQLite has attached databases and no schemas: production's `iris.Review` is `Review` there.
        return None
    return _existing(schema, schemas, "table", f"schema {schema} in the database")


def _existing(name: str, there: Sequence[str], field: str, what: str) -> str:
    """Return the name as spelled in the catalogue; case matters only if two names differ in nothing else, as in SQL."""
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
        # Trainings are hours or days apart, so no connection stays open between them.
        return create_engine(url, poolclass=NullPool)
    except (NoSuchModuleError, ImportError):
        extra = _EXTRAS.get(url.get_backend_name())
        hint = f"pip install 'pytest-ibmodels[{extra}]'" if extra else "install its driver and dialect"
        raise DatabaseUnavailable(
            f"Setting database: {url.drivername} is not installed here: {hint}.", "database"
        ) from None
    except (TypeError, ValueError):
        # The message leaves the value out, which may be a password.
        raise RequestRefused(
            f"Setting database: an argument after the ? of the URL has a value that {url.drivername} cannot use.",
            "database",
        ) from None


def _sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite database; None for other databases and databases in memory.

    Raises:
        RequestRefused: the URL contains an SQLite URI, but not `uri=true`.
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
