"""Fills a database table from a CSV file: `ibmodels load`. SQLAlchemy is imported when it is needed."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Table
    from sqlalchemy.engine import URL

BATCH = 1000
"""Rows that are inserted at once."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"[+-]?\d{1,18}")


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


def load_csv(file: Path, table: str, database: str) -> Loaded:
    """Make a table from a CSV file with a header, all or nothing.

    A column of which every value is a whole number becomes INTEGER, any other TEXT; an empty value is NULL. On SQLite,
    which has no schemas, the schema is left out.

    Args:
        file: in UTF-8, values separated by commas.
        table: its name, with a schema if need be; a schema that is not there is made.
        database: URL of SQLAlchemy.

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
    except ArgumentError:
        raise TableError(
            "--database is no URL of SQLAlchemy, such as sqlite:///reviews.db or postgresql+psycopg://…"
        ) from None
    try:
        engine = create_engine(url)
    except (NoSuchModuleError, ImportError):
        raise TableError(f"--database: {url.drivername} is not installed here.") from None
    try:
        with engine.begin() as connection:
            made = _create(connection, schema or None, name, source)
            rows = _fill(connection, made, source)
    except (SQLAlchemyError, RuntimeError) as error:
        raise TableError(f"The database {_shown(url)} refused: {_reason(error, url)}") from None
    finally:
        engine.dispose()
    columns = tuple((column.name, str(column.type.compile(engine.dialect))) for column in made.columns)
    return Loaded(made.fullname, columns, rows)


def _create(connection: Connection, schema: str | None, name: str, source: _Csv) -> Table:
    from sqlalchemy import BigInteger, Column, MetaData, Table, Text, inspect
    from sqlalchemy.schema import CreateSchema

    catalogue = inspect(connection)
    schemas = catalogue.get_schema_names()
    if schema is not None and schema not in schemas:
        if connection.dialect.name == "sqlite":
            schema = None
        elif connection.dialect.name == "postgresql":
            connection.execute(CreateSchema(schema))
    if catalogue.has_table(name, schema) or name in catalogue.get_view_names(schema):
        raise TableError(f"--table: {name} exists already; drop it, or take another name.")
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
                whole[index] &= value == "" or bool(_WHOLE.fullmatch(value))
    except OSError as error:
        raise TableError(f"{file}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise TableError(f"{file}: it is not in UTF-8 (byte {error.start}).") from None
    return _Csv(file, header, tuple(one and other for one, other in zip(whole, filled, strict=True)))


def _rows(file: Path) -> Iterator[Sequence[str]]:
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
    return url.render_as_string(hide_password=True)


def _reason(error: Exception, url: URL) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return lines[0].replace(str(url.password), "***") if url.password else lines[0]
