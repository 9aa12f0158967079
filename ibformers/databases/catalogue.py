"""Tables of a database, and the columns of one of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ibformers.databases.rows import existing_table, is_plain_name, readable_names, split_name

if TYPE_CHECKING:
    from sqlalchemy import Inspector

    from ibformers.databases.rows import DatabaseRows

MAX_NAMES = 2000
"""Maximum number of tables or columns in an answer."""

_SYSTEM_SCHEMAS = ("information_schema", "pg_")
"""Beginnings of the names of schemas that are left out: they hold no data."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ColumnAnswer(_Answer):
    """A column.

    Attributes:
        name: name of the column.
        type: its type, in the words of SQL.
    """

    name: str
    type: str


class TablesAnswer(_Answer):
    """Tables of a database, or the columns of one of them.

    Attributes:
        tables: names of tables and views, with the schema unless it is the default one; empty if the request names a
            table.
        table: the table that the request names, as spelled in the catalogue.
        columns: its columns.
        rows: its number of rows; None if the request names no table.
        left_out: number of tables or columns that are left out, because no request can name them: their names are not
            plain (letters, digits and _), or they are too many.
    """

    tables: list[str] = []
    table: str | None = None
    columns: list[ColumnAnswer] = []
    rows: int | None = None
    left_out: int = 0


def list_tables(rows: DatabaseRows) -> TablesAnswer:
    """Return the names of the tables and views of a database.

    Raises:
        DatabaseUnavailable: the database cannot be read.
    """
    from sqlalchemy import inspect

    with rows.connect() as connection:
        catalogue = inspect(connection)
        default = catalogue.default_schema_name
        found: list[tuple[str | None, str]] = [(None, name) for name in readable_names(catalogue, None)]
        # The schemas of SQLite are attached files; a URL attaches none.
        for schema in catalogue.get_schema_names() if catalogue.dialect.name != "sqlite" else ():
            if schema != default and is_plain_name(schema) and not schema.lower().startswith(_SYSTEM_SCHEMAS):
                found += [(schema, name) for name in readable_names(catalogue, schema)]
    plain = [f"{schema}.{name}" if schema else name for schema, name in found if is_plain_name(name)]
    tables = sorted(dict.fromkeys(plain))[:MAX_NAMES]
    return TablesAnswer(tables=tables, left_out=len(set(found)) - len(tables))


def describe_table(rows: DatabaseRows, table: str) -> TablesAnswer:
    """Return the columns of a table or view, and its number of rows.

    Raises:
        RequestRefused: there is no such table.
        DatabaseUnavailable: the database cannot be read.
    """
    from sqlalchemy import func, inspect, select
    from sqlalchemy import table as named

    schema, name = split_name(table)
    with rows.connect() as connection:
        catalogue = inspect(connection)
        schema, name = existing_table(catalogue, schema, name)
        columns = _columns(catalogue, schema, name)
        count = connection.execute(select(func.count()).select_from(named(name, schema=schema))).scalar_one()
    plain = [column for column in columns if is_plain_name(column.name)][:MAX_NAMES]
    spelled = f"{schema}.{name}" if schema else name
    return TablesAnswer(table=spelled, columns=plain, rows=count, left_out=len(columns) - len(plain))


def _columns(catalogue: Inspector, schema: str | None, name: str) -> list[ColumnAnswer]:
    found = []
    for column in catalogue.get_columns(name, schema):
        shown = type(column["type"]).__name__.lower()
        # A type that is not known has no words.
        with contextlib.suppress(Exception):
            shown = str(column["type"])
        found.append(ColumnAnswer(name=column["name"], type=shown))
    return found
