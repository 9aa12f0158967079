"""Fills a database table from a CSV file: `ibmodels load`. SQLAlchemy is imported when it is needed."""

from __future__ import annotations

import csv
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
"""Rows that are inserted at once."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_LONGEST_VALUE = 2**31 - 1
"""Characters of a value; the csv module refuses more than 131,072 unless it is told."""


class TableError(Exception):
    """A table was not filled, and nothing of it is there. The text is one sentence, without any password."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was written.

    Attributes:
        table: with its schema, as the database has it.
        columns: name and SQL type of each.
        rows: how many were written.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    rows: int


@dataclass(frozen=True, slots=True)
class _Csv:
    file: Path
    columns: tuple[str, ...]
    whole: tuple[bool, ...]


def load_csv(file: Path, table: str, database: str, *, replace: bool = False) -> Loaded:
    """Make a table from a CSV file with a header, all or nothing.

    A column becomes INTEGER if each of its values is a whole number, written as the database would write it; any other
    one becomes TEXT, so that a code such as `0111` stays what it is. An empty value is NULL. On SQLite, which has no
    schemas, the schema is left out.

    Args:
        file: in UTF-8, values separated by commas.
        table: its name, with a schema if need be; a schema that is not there is made.
        database: URL of SQLAlchemy.
        replace: drop a table of this name first; if anything fails, the old one is still there.

    Raises:
        TableError: the file or a name cannot be used, the table exists already, or the database refuses.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    schema, _, name = table.rpartition(".")
    for part in ([schema] if "." in table else []) + [name]:
        _plain(part, f"--table {table}")
    source = _inspected(file)
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        raise TableError(
            "--database is no URL of SQLAlchemy, such as sqlite:///reviews.db or postgresql+psycopg://…"
        ) from None
    try:
        engine = create_engine(url)
    except (NoSuchModuleError, ImportError):
        raise TableError(f"--database: {url.drivername} is not installed here.") from None
    if engine.dialect.name == "sqlite":
        _begin_before_ddl(engine)
    try:
        with engine.begin() as connection:
            made = _create(connection, schema or None, name, source, replace=replace)
            rows = _fill(connection, made, source)
    except (SQLAlchemyError, RuntimeError) as error:
        raise TableError(f"The database {_shown(url)} refused: {_reason(error, url)}") from None
    finally:
        engine.dispose()
    columns = tuple((column.name, str(column.type.compile(engine.dialect))) for column in made.columns)
    return Loaded(made.fullname, columns, rows)


def _begin_before_ddl(engine: Engine) -> None:
    """Let statements that make or drop a table be part of the transaction, which Python's sqlite3 leaves out.

    Source: SQLAlchemy's documentation of SQLite, "Transactions with SQLite and the sqlite3 driver".
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def _no_begin_by_the_driver(connection: Any, _record: object) -> None:
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
        raise TableError(f"--table: {name} is a view; take another name.")
    if catalogue.has_table(name, schema):
        if not replace:
            raise TableError(
                f"--table: {name} exists already; take another name, or replace it with what is in the file: --replace."
            )
        Table(name, MetaData(), schema=schema).drop(connection)
    columns = [
        Column(column, BigInteger() if whole else Text())
        for column, whole in zip(source.columns, source.whole, strict=True)
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
                column: None if value == "" else int(value) if whole else value
                for column, value, whole in zip(source.columns, row, source.whole, strict=True)
            }
            for row in batch
        ]
        connection.execute(table.insert(), values)
        count += len(values)
    return count


def _inspected(file: Path) -> _Csv:
    """Read the file once, so that a mistake in its last line is found before anything is written."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = tuple(next(csv.reader(stream, strict=True), ()))
        for column in header:
            _plain(column, f"{file}: the header")
        if not header:
            raise TableError(f"{file}: it is empty; its first line must name the columns.")
        if len({column.lower() for column in header}) != len(header):
            raise TableError(f"{file}: the header names a column twice: {', '.join(header)}.")
        whole = [True] * len(header)
        filled = [False] * len(header)
        for row in _rows(file):
            for index, value in enumerate(row):
                filled[index] |= value != ""
                # A code such as 0111 or +5 is no number: it would lose what it is written with.
                whole[index] &= value == "" or bool(_WHOLE.fullmatch(value) and str(int(value)) == value)
    except OSError as error:
        raise TableError(f"{file}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise TableError(f"{file}: it is not in UTF-8 (byte {error.start}).") from None
    return _Csv(file, header, tuple(one and other for one, other in zip(whole, filled, strict=True)))


def _rows(file: Path) -> Iterator[Sequence[str]]:
    csv.field_size_limit(_LONGEST_VALUE)
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


def _plain(name: str, where: str) -> None:
    if not _IDENTIFIER.fullmatch(name):
        raise TableError(f"{where}: {name!r} is no plain name (letters, digits and _, and no digit first).")


def _shown(url: URL) -> str:
    # A query may hold a password, too.
    return url.set(query={}).render_as_string(hide_password=True)


def _reason(error: Exception, url: URL) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return hide(lines[0], passwords(url.render_as_string(hide_password=False)))
