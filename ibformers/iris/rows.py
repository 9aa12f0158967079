"""Rows of tables of the surrounding IRIS, read by `iris.sql`."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from ibformers.databases.rows import NO_COLUMNS, check_plain_name, named_columns, select_rows, split_name
from ibformers.errors import DatabaseUnavailable, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Dialect, Inspector

    from ibformers.databases.rows import Row

DEFAULT_SCHEMA = "SQLUser"
"""Schema of a table without a schema name in IRIS."""

STREAMS = ("longvarchar", "longvarbinary")
"""Column types whose rows hold a reference in place of the text."""

_EMPTY = "\x00"  # an empty text inside IRIS, where "" is NULL


class Sql(Protocol):
    """Interface of `iris.sql`, see "Use Embedded Python" in the documentation of IRIS."""

    def exec(self, statement: str, /, *parameters: Any) -> Iterable[Sequence[Any]]:
        """Execute a statement with `?` for its parameters and return its rows."""
        ...


class IrisRows:
    """Rows of the current namespace of IRIS.

    Args:
        sql: returns `iris.sql` or an equivalent; called when rows are read.
    """

    def __init__(self, sql: Callable[[], Sql]) -> None:
        self._sql = sql

    @contextlib.contextmanager
    def read(
        self, table: str, columns: tuple[str, str], limit: int | None, further: Mapping[str, str] = NO_COLUMNS
    ) -> Iterator[Iterable[Row]]:
        """Open a table, see `ibformers.tuning.RowSource.read`."""
        schema, name = split_name(table)
        for field, column in named_columns(columns, further):
            check_plain_name(column, field)
        sql = self._sql()
        catalogue = _Catalogue(sql)
        statement = select_rows(cast("Inspector", catalogue), schema or DEFAULT_SCHEMA, name, columns, limit, further)
        fields = [field for field, _ in named_columns(columns, further)]
        for field, chosen in zip(fields, statement.selected_columns, strict=False):
            catalogue.check_readable(chosen.name, table, field)
        compiled = statement.compile(dialect=catalogue.dialect)
        # `positiontup` has the parameters in the order of their question marks.
        values = [compiled.params[key] for key in getattr(compiled, "positiontup", None) or ()]
        yield (tuple(_value(value) for value in row) for row in _execute(sql, str(compiled), *values))


def iris_sql() -> Sql:
    """Return `iris.sql` of the surrounding IRIS.

    Raises:
        DatabaseUnavailable: this process does not run inside IRIS.
    """
    iris = importlib.import_module("iris")
    # Outside IRIS, `iris` is the module of the drivers, which has an attribute for every name.
    runtime = getattr(iris, "runtime", None)
    if not hasattr(iris, "sql") or (runtime is not None and not runtime.embedded_available):
        raise DatabaseUnavailable(
            "Setting database: this does not run inside IRIS, where rows come from by themselves; set it to a URL of "
            "SQLAlchemy, such as iris://user:password@host:1972/NAMESPACE.",
            "database",
        )
    return cast("Sql", iris.sql)


class _Catalogue:
    """The methods of SQLAlchemy's `Inspector` that `select_rows` calls; an `Inspector` needs a connection."""

    def __init__(self, sql: Sql) -> None:
        from sqlalchemy.engine import make_url

        self._sql = sql
        self._types: dict[str, str] = {}
        dialect: Callable[..., Dialect] = make_url("iris+emb:///").get_dialect()
        self.dialect = dialect(paramstyle="qmark")

    def get_schema_names(self) -> list[str]:
        return self._names("SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA")

    def get_table_names(self, schema: str) -> list[str]:
        return self._names("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?", schema)

    def get_view_names(self, schema: str) -> list[str]:
        return self._names("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.VIEWS WHERE TABLE_SCHEMA = ?", schema)

    def get_materialized_view_names(self, schema: str) -> list[str]:  # noqa: ARG002 - IRIS has none
        return []

    def get_columns(self, name: str, schema: str) -> list[dict[str, str]]:
        statement = (
            "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?"
        )
        self._types = {str(column): str(kind) for column, kind in _execute(self._sql, statement, schema, name)}
        return [{"name": column} for column in self._types]

    def get_pk_constraint(self, name: str, schema: str) -> dict[str, list[str]]:
        statement = (
            "SELECT k.COLUMN_NAME FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE k "
            "JOIN INFORMATION_SCHEMA.TABLE_CONSTRAINTS c ON c.CONSTRAINT_NAME = k.CONSTRAINT_NAME "
            "AND c.TABLE_SCHEMA = k.TABLE_SCHEMA AND c.TABLE_NAME = k.TABLE_NAME "
            "WHERE c.CONSTRAINT_TYPE = 'PRIMARY KEY' AND k.TABLE_SCHEMA = ? AND k.TABLE_NAME = ? "
            "ORDER BY k.ORDINAL_POSITION"
        )
        return {"constrained_columns": self._names(statement, schema, name)}

    def check_readable(self, column: str, table: str, field: str) -> None:
        kind = self._types[column].lower()
        if kind in STREAMS:
            raise RequestRefused(
                f"Train request: {field}: {column} of {table} is a stream ({kind.upper()}), of which iris.sql gives a "
                f"reference in place of the text; make it a VARCHAR, or a view with SUBSTRING({column}, 1).",
                field,
            )

    def _names(self, statement: str, *parameters: str) -> list[str]:
        return [str(row[0]) for row in _execute(self._sql, statement, *parameters)]


def _execute(sql: Sql, statement: str, *parameters: Any) -> Iterator[Sequence[Any]]:
    try:
        yield from sql.exec(statement, *parameters)
    except Exception as error:
        # The exception class of iris.sql cannot be imported.
        raise DatabaseUnavailable(f"The tables of IRIS cannot be read: {error}") from error


def _value(value: Any) -> Any:
    return "" if value == _EMPTY else value
