"""Fakes of IRIS: operations, messages of the test window, and `iris.sql`."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from iop import BusinessOperation
from iop.messages.serialization import deserialize_message
from sqlalchemy_iris.information_schema import ischema

import ibformers.iris

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Kind = TypeVar("Kind", bound=BusinessOperation)

FOLDER = Path(ibformers.iris.__file__).parent


class Log(logging.Handler):
    """Log of the production."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelname, record.getMessage()))


def started(kind: type[Kind], settings: str) -> tuple[Kind, Log]:
    """Create an operation as IRIS does: without `__init__`, with an attribute for each line of `%settings`."""
    operation, log = kind.__new__(kind), Log()
    operation.logger = logging.Logger("production")  # noqa: LOG001 - as iop does it, one of its own
    operation.logger.addHandler(log)
    for line in filter(None, settings.splitlines()):
        name, _, value = line.partition("=")
        setattr(operation, name, value)
    operation._dispatch_on_init(None)
    return operation, log


def message(classname: str, json: str) -> Any:
    """Return the message that the test window sends for a class name and JSON."""
    deserialize: Callable[[object], Any] = deserialize_message
    return deserialize(SimpleNamespace(classname=classname, json=json, type="String"))


@pytest.fixture
def short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put `msg` on the path, as in the image."""
    (tmp_path / "app").mkdir()
    shutil.copy(FOLDER / "msg.py", tmp_path / "app")
    monkeypatch.syspath_prepend(tmp_path / "app")
    monkeypatch.delitem(sys.modules, "msg", raising=False)


class SqliteSql:
    """Fake of `iris.sql` on SQLite: schemas are attached databases, and TOP becomes LIMIT.

    Its catalogue has the tables and columns that the dialect of SQLAlchemy knows of the catalogue of IRIS. Inside IRIS,
    NULL is "", and an empty text is the character 0.
    """

    def __init__(self, *schemas: str) -> None:
        self._connection = sqlite3.connect(":memory:")
        weakref.finalize(self, self._connection.close)
        for schema in ("INFORMATION_SCHEMA", *schemas):
            self._connection.execute(f"ATTACH ':memory:' AS {schema}")
        for table in ischema.tables.values():
            if table.schema == "INFORMATION_SCHEMA":
                columns = ", ".join(column.name for column in table.columns)
                self._connection.execute(f"CREATE TABLE {table.fullname} ({columns})")
        for schema in schemas:
            self._note("SCHEMATA", {"SCHEMA_NAME": schema})
        self.log: list[tuple[str, tuple[Any, ...]]] = []

    def exec(self, statement: str, /, *parameters: Any) -> Iterable[Sequence[Any]]:
        self.log.append((statement, parameters))
        statement = re.sub(r"SELECT TOP \? (.*)", r"SELECT \1 LIMIT ?", statement, flags=re.DOTALL)
        rows = self._connection.execute(statement, parameters)
        if created := re.match(r"CREATE TABLE (\w+)\.(\w+)", statement):
            self._describe(*created.groups())
        return ([{None: "", "": "\x00"}.get(value, value) for value in row] for row in rows)

    def _describe(self, schema: str, name: str) -> None:
        table = {"TABLE_SCHEMA": schema, "TABLE_NAME": name}
        self._note("TABLES", table)
        for _, column, kind, _, _, key in self._connection.execute(f"PRAGMA {schema}.table_info({name})").fetchall():
            self._note("COLUMNS", table | {"COLUMN_NAME": column, "DATA_TYPE": kind.partition("(")[0].lower()})
            if key:
                constraint = table | {"CONSTRAINT_NAME": "KEY", "CONSTRAINT_TYPE": "PRIMARY KEY"}
                self._note("TABLE_CONSTRAINTS", constraint)
                self._note("KEY_COLUMN_USAGE", constraint | {"COLUMN_NAME": column, "ORDINAL_POSITION": key})

    def _note(self, table: str, row: dict[str, Any]) -> None:
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        self._connection.execute(
            f"INSERT INTO INFORMATION_SCHEMA.{table} ({columns}) VALUES ({marks})",  # noqa: S608
            list(row.values()),
        )
