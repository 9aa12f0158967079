"""Create a database table from a CSV file: `ibmodels load`. SQLAlchemy is imported only when it is needed."""

from __future__ import annotations

import csv
import operator
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.redaction import hide
from pytest_ibmodels.spec.databases import passwords

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.engine import URL

BATCH = 1000
"""Rows per INSERT."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_MAX_VALUE_LENGTH = 2**31 - 1
"""Maximum number of characters of a value; the csv module's default is 131,072."""


class TableError(Exception):
    """The table was not created. The message is one sentence without any password."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Created table.

    Attributes:
        table: the table's name, with the schema if the database has schemas.
        columns: name and SQL type of each column.
        rows: number of rows.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    rows: int


@dataclass(frozen=True, slots=True)
class _Csv:
    file: Path
    columns: tuple[str, ...]
    are_integers: tuple[bool, ...]


def load_csv(file: Path, table: str, database: str, *, replace: bool = False) -> Loaded:
    """Create a table from a CSV file with a header, completely or not at all.

    A column becomes INTEGER if all its values are integers in the database's notation. All other columns become TEXT,
    so that a code such as `0111` is kept. An empty value is NULL. SQLite has no schemas and ignores them.

    Args:
        file: a CSV file in UTF-8, with commas.
        table: the table's name, optionally with a schema; a missing schema is created.
        database: URL of SQLAlchemy.
        replace: drop an existing table of this name first; after a failure the old table is still there.

    Raises:
        TableError: the file or a name is invalid, the table exists, or the database reports an error.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    schema, _, name = table.rpartition(".")
    for part in ([schema] if "." in table else []) + [name]:
        _check_identifier(part, f"--table {table}")
    source = _inspect(file)
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        raise TableError(
            "--database is not a URL of SQLAlchemy, such as sqlite:///reviews.db or postgresql+psycopg://…"
        ) from None
    try:
        engine = create_engine(url)
    except (NoSuchModuleError, ImportError):
        raise TableError(f"--database: {url.drivername} is not installed.") from None
    if engine.dialect.name == "sqlite":
        _begin_before_ddl(engine)
    try:
        with engine.begin() as connection:
            made = _create(connection, schema or None, name, source, replace=replace)
            rows = _fill(connection, made, source)
    except (SQLAlchemyError, RuntimeError) as error:
        raise TableError(f"The database {_shown(url)} reported an error: {_reason(error, url)}") from None
    finally:
        engine.dispose()
    columns = tuple((column.name, str(column.type.compile(engine.dialect))) for column in made.columns)
    return Loaded(made.fullname, columns, rows)


def _begin_before_ddl(engine: Engine) -> None:
    """Include statements that create or drop tables in the transaction, which Python's sqlite3 does not.

    Source: SQLAlchemy's documentation of SQLite, "Transactions with SQLite and the sqlite3 driver".
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def _disable_begin_of_driver(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


def _create(connection: Connection, schema: str | None, name: str, source: _Csv, *, replace: bool) -> Table:
    from sqlalchemy import BigInteger, Column, MetaData, Table, Text, inspect
    from sqlalchemy.schema import CreateSchema

    catalogue = inspect(connection)
    schemas = catalogue.get_schema_names()
    if schema is not None and schema not in schemas:
        if connection.dialect.name == "sqlite":
            schema = None
        elif connection.dialect.name == "postgresql":
            connection.execute(CreateSchema(schema))
    if name in catalogue.get_view_names(schema):
        raise TableError(f"--table: {name} is a view; choose another name.")
    if catalogue.has_table(name, schema):
        if not replace:
            raise TableError(
                f"--table: {name} already exists; choose another name, or replace the table with --replace."
            )
        Table(name, MetaData(), schema=schema).drop(connection)
    columns = [
        Column(column, BigInteger() if is_integer else Text())
        for column, is_integer in zip(source.columns, source.are_integers, strict=True)
    ]
    table = Table(name, MetaData(), *columns, schema=schema)
    table.create(connection)
    return table


def _fill(connection: Connection, table: Table, source: _Csv) -> int:
    count = 0
    rows = _rows(source.file)
    while batch := list(islice(rows, BATCH)):
        values = [
            {
                column: None if value == "" else int(value) if is_integer else value
                for column, value, is_integer in zip(source.columns, row, source.are_integers, strict=True)
            }
            for row in batch
        ]
        connection.execute(table.insert(), values)
        count += len(values)
    return count


def _inspect(file: Path) -> _Csv:
    """Read the whole file, so that an error in its last line is found before the table is created."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = tuple(next(csv.reader(stream, strict=True), ()))
        for column in header:
            _check_identifier(column, f"{file}: the header")
        if not header:
            raise TableError(f"{file}: the file is empty; its first line must name the columns.")
        if len({column.lower() for column in header}) != len(header):
            raise TableError(f"{file}: the header names a column twice: {', '.join(header)}.")
        are_integers = [True] * len(header)
        have_values = [False] * len(header)
        for row in _rows(file):
            for index, value in enumerate(row):
                have_values[index] |= value != ""
                # A code such as 0111 or +5 would lose its zero or its sign as a number.
                are_integers[index] &= value == "" or bool(_INTEGER.fullmatch(value) and str(int(value)) == value)
    except OSError as error:
        raise TableError(f"{file}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise TableError(f"{file}: the file is not in UTF-8 (byte {error.start}).") from None
    return _Csv(file, header, tuple(map(operator.and_, are_integers, have_values)))


def _rows(file: Path) -> Iterator[Sequence[str]]:
    csv.field_size_limit(_MAX_VALUE_LENGTH)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            width = len(next(reader))
            for row in reader:
                if len(row) != width:
                    raise TableError(
                        f"{file}:{reader.line_num}: {len(row)} values where the header names {width} columns."
                    )
                yield row
        except csv.Error as error:
            raise TableError(f"{file}:{reader.line_num}: {error}.") from None


def _check_identifier(name: str, where: str) -> None:
    if not _IDENTIFIER.fullmatch(name):
        raise TableError(f"{where}: {name!r} is not a valid name (letters, digits and _, not starting with a digit).")


def _shown(url: URL) -> str:
    # The query may contain a password, too.
    return url.set(query={}).render_as_string(hide_password=True)


def _reason(error: Exception, url: URL) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return hide(lines[0], passwords(url.render_as_string(hide_password=False)))
