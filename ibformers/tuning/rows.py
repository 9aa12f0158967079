"""Rows of a database table, streamed: labels and texts, as they are.

Names are plain identifiers that the database's own catalogue has, quoted by SQLAlchemy; values are bound. So no text of
a request is ever part of a statement.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ibformers.tuning.database_url import error_reason, parse_url, shown_url
from ibformers.tuning.errors import DatabaseUnavailable, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Engine, Inspector, Select
    from sqlalchemy.engine import URL

BATCH = 1000
"""Rows that are fetched at once."""

Row = tuple[Any, Any]
"""Label and text, as the database gives them."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXTRAS = {"postgresql": "postgres", "iris": "iris"}


class RowSource(Protocol):
    """Where rows come from."""

    def read(
        self, table: str, columns: tuple[str, str], limit: int | None
    ) -> contextlib.AbstractContextManager[Iterable[Row]]:
        """Open a table; the rows are streamed while the context is open.

        Args:
            table: its name, with its schema if need be.
            columns: the column of the label, and that of the text.
            limit: most rows; None is all.

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
    def read(self, table: str, columns: tuple[str, str], limit: int | None) -> Iterator[Iterable[Row]]:
        """Open a table, see `RowSource.read`. A row comes once; without a primary key in no certain order."""
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        schema, name = split_name(table)
        for column in columns:
            _plain(column, "columns")
        try:
            with self.engine.connect() as connection:
                statement = select_rows(inspect(connection), schema, name, columns, limit)
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
    catalogue: Inspector, schema: str | None, name: str, columns: tuple[str, str], limit: int | None
) -> Select[Any]:
    """Build the statement that reads the rows, with the names as the catalogue has them.

    Args:
        catalogue: what the database says of itself.
        schema: a plain name, or None for the default schema.
        name: of the table or view, a plain name.
        columns: of label and text, plain names.
        limit: most rows; the primary key, if there is one, decides which.

    Raises:
        RequestRefused: the catalogue does not have one of the names.
    """
    from sqlalchemy import column, select, table

    if schema is not None:
        schema = _schema(catalogue, schema)
    tables = [*catalogue.get_table_names(schema), *catalogue.get_view_names(schema)]
    name = _existing(name, tables, "table", f"table {name} in {schema or 'the database'}")
    there = [found["name"] for found in catalogue.get_columns(name, schema)]
    chosen = [_existing(wanted, there, "columns", f"column {wanted} in table {name}") for wanted in columns]
    keys = catalogue.get_pk_constraint(name, schema)["constrained_columns"] if name in tables else []
    source = table(name, *(column(each) for each in {*chosen, *keys}), schema=schema)
    statement = select(*(source.c[each] for each in chosen))
    if keys:
        statement = statement.order_by(*(source.c[each] for each in keys))
    return statement if limit is None else statement.limit(limit)


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

    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise DatabaseUnavailable(
            f"Setting database: there is no file {url.database}; `ibmodels load` makes one from CSV.", "database"
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
