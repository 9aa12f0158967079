"""What is sent to databases, and what is not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest.mock import create_autospec

import pytest
from sqlalchemy import Engine, Inspector, create_engine, event, text
from sqlalchemy.engine import make_url

from ibformers.tuning import DatabaseRows, DatabaseUnavailable, ModelSettings, RequestRefused, TrainRequest, Tuning
from ibformers.tuning.rows import select_rows
from tests.databases import reviews
from tests.ibformers.tuning.conftest import REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = ("ReviewLabel", "ReviewText")
ATTACKS = (
    'Review"; DROP TABLE "Review"; --',
    "Review; DELETE FROM Review",
    "Review WHERE 1=1 UNION SELECT name, sql FROM sqlite_master",
    "Review--",
    "Review/*",
    "(SELECT 1)",
    "Review\x00",
    "Révïew",
    "iris.iris.Review",
    "iris.",
    ".Review",
    "`Review`",
    "[Review]",
    "1Review",
)


@contextlib.contextmanager
def statements(rows: DatabaseRows) -> Iterator[list[tuple[str, Any]]]:
    """All that is sent to the database meanwhile, with its parameters."""
    log: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        log.append((statement, parameters))

    event.listen(rows.engine, "before_cursor_execute", keep)
    yield log
    event.remove(rows.engine, "before_cursor_execute", keep)


def read(rows: DatabaseRows, table: str, columns: tuple[str, str] = COLUMNS, limit: int | None = None) -> list[Any]:
    with rows.read(table, columns, limit) as found:
        return list(found)


def test_rows_are_read_as_they_are(database: str) -> None:
    rows = DatabaseRows(database)
    assert sorted(read(rows, "iris.Review")) == sorted(reviews(120))
    with statements(rows) as log:
        assert len(read(rows, "IRIS.review", ("REVIEWLABEL", "reviewtext"), limit=7)) == 7
    statement, parameters = log[-1]
    assert "LIMIT" in statement
    assert "7" not in statement
    assert 7 in (parameters.values() if isinstance(parameters, dict) else parameters)


def test_a_primary_key_decides_which_rows_come_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keyed.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE Keyed (label INTEGER, words TEXT, number INTEGER, PRIMARY KEY (number))"))
        connection.execute(text("INSERT INTO Keyed VALUES (1, 'b', 2), (2, 'a', 1), (3, 'c', 3)"))
        connection.execute(text("CREATE VIEW Seen AS SELECT label, words FROM Keyed WHERE label > 1"))
    engine.dispose()
    assert read(DatabaseRows(url), "Keyed", ("label", "words"), 2) == [(2, "a"), (1, "b")]
    assert sorted(read(DatabaseRows(url), "Seen", ("label", "words"))) == [(2, "a"), (3, "c")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_plain_name_is_refused_before_anything_is_sent(attack: str, sqlite: str) -> None:
    rows = DatabaseRows(sqlite)
    with statements(rows) as log:
        with pytest.raises(RequestRefused, match="no plain name"):
            read(rows, attack)
        for columns in ((attack, "ReviewText"), ("ReviewLabel", attack)):
            with pytest.raises(RequestRefused, match="no plain name"):
                read(rows, "iris.Review", columns)
    assert log == []


def test_names_that_the_catalogue_does_not_have_are_never_part_of_a_statement(database: str) -> None:
    rows = DatabaseRows(database)
    with statements(rows) as log:
        for table, columns in (("iris.Secrets", COLUMNS), ("iris.Review", ("ReviewLabel", "Secrets"))):
            with pytest.raises(RequestRefused, match=r"there is no (table|column) Secrets"):
                read(rows, table, columns)
    assert log
    assert not [statement for statement, _ in log if "Secrets" in statement]
    assert not [statement for statement, _ in log if 'FROM iris."Review"' in statement]


@pytest.mark.parametrize(
    "limit", ["20; DROP TABLE Review", "20", "0x10", -1, 1.5, True, [20], {"a": 1}, 10**30, float("inf")]
)
def test_a_limit_is_a_number(limit: Any, sqlite: str, tmp_path: Path) -> None:
    rows = DatabaseRows(sqlite)
    with statements(rows) as log, pytest.raises(RequestRefused, match="Train request: limit") as caught:
        Tuning(ModelSettings(path=tmp_path, model_name="a"), rows).train(REQUEST | {"limit": limit})
    assert caught.value.field == "limit"
    assert log == []


def test_columns_are_a_list_or_a_text() -> None:
    for columns in ("A,B", "A , B", ["A", "B"], ("A", "B")):
        assert TrainRequest.of({"table": "T", "columns": columns}).columns == ("A", "B")


def test_databases_that_cannot_be_read(tmp_path: Path) -> None:
    for url, message in (
        (f"sqlite:///{tmp_path}/none.db", "there is no file .*none.db; `ibmodels load` makes one"),
        (
            "postgresql+psycopg://me:s3cret@127.0.0.1:1/x",
            r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/x cannot be read",
        ),
        ("mysql+nothing://me:s3cret@h/x", r"mysql\+nothing is not installed here"),
        (
            "postgresql+asyncpg://me:s3cret@h/x",
            r"asyncpg is not installed here: pip install 'pytest-ibmodels\[postgres",
        ),
    ):
        with pytest.raises(DatabaseUnavailable, match=message) as caught:
            read(DatabaseRows(url), "T")
        assert "s3cret" not in str(caught.value)
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(RequestRefused, match="no URL of SQLAlchemy") as refused:
        DatabaseRows("me:s3cret@host")
    assert "s3cret" not in str(refused.value)
    (tmp_path / "text.db").write_text("this is no database, and long enough to be looked at " * 20)
    with pytest.raises(DatabaseUnavailable, match="file is not a database"):
        read(DatabaseRows(f"sqlite:///{tmp_path}/text.db"), "T")


def iris_statement(limit: int | None, keys: list[str], *, modern: bool = False) -> str:
    """What is sent to IRIS, as its dialect writes it; no server of IRIS runs here, so its catalogue is made up."""
    catalogue = create_autospec(Inspector, instance=True)
    catalogue.dialect = make_url("iris://_SYSTEM@localhost:1972/USER").get_dialect()()
    # Set from the server's version once connected: true for IRIS 2025.1 and later.
    catalogue.dialect.supports_modern_pagination = modern
    catalogue.get_schema_names.return_value = ["iris", "SQLUser"]
    catalogue.get_table_names.return_value = ["Review"]
    catalogue.get_view_names.return_value = []
    catalogue.get_columns.return_value = [{"name": name} for name in ("ID", *COLUMNS)]
    catalogue.get_pk_constraint.return_value = {"constrained_columns": keys}
    compiled = select_rows(catalogue, "iris", "Review", COLUMNS, limit).compile(dialect=catalogue.dialect)
    assert list(compiled.params.values()) == ([] if limit is None else [limit])
    return " ".join(str(compiled).split())


def test_sql_of_iris() -> None:
    columns, table = 'iris."Review"."ReviewLabel", iris."Review"."ReviewText"', 'iris."Review"'
    assert iris_statement(None, []) == f"SELECT {columns} FROM {table}"
    assert iris_statement(None, ["ID"]) == f'SELECT {columns} FROM {table} ORDER BY {table}."ID"'
    # Its dialect leaves the order out beside a limit, so which rows are the first is for IRIS to say.
    for keys in ([], ["ID"]):
        assert iris_statement(20, keys) == f"SELECT TOP %s {columns} FROM {table}"
        assert iris_statement(20, keys, modern=True) == f"SELECT {columns} FROM {table} LIMIT %s"


def test_iris_without_a_server_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"iris://me:\*\*\*@127.0.0.1:1/USER cannot be read") as caught:
        read(DatabaseRows("iris://me:s3cret@127.0.0.1:1/USER"), "iris.Review")
    assert "s3cret" not in str(caught.value)


def test_rows_are_fetched_in_batches_and_the_engine_is_made_once(database: str) -> None:
    rows = DatabaseRows(database)
    assert isinstance(rows.engine, Engine)
    assert rows.engine is rows.engine
    with rows.read("iris.Review", COLUMNS, None) as found:
        assert next(iter(found))[0] in range(1, 6)
