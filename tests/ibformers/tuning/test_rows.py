"""Statements that are sent to databases, and reading of rows."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import create_autospec
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, Inspector, create_engine, event, text
from sqlalchemy.engine import make_url

from ibformers.databases.rows import select_rows
from ibformers.tasks.text_classification.dataset import TextFile, TokenisedRows
from ibformers.tasks.text_classification.dataset import read_rows as read_table
from ibformers.tasks.text_classification.model import load_tokenizer
from ibformers.tasks.text_classification.split import split_rule
from ibformers.tuning import (
    DatabaseRows,
    DatabaseUnavailable,
    ModelSettings,
    RequestRefused,
    TrainRequest,
    Tuning,
    TuningError,
)
from tests.databases import fill, reviews
from tests.ibformers.tuning.conftest import REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Record the statements, with their parameters, that are sent while the context is open."""
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
        with pytest.raises(RequestRefused, match="not a plain name"):
            read(rows, attack)
        for columns in ((attack, "ReviewText"), ("ReviewLabel", attack)):
            with pytest.raises(RequestRefused, match="not a plain name"):
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
    with pytest.raises(RequestRefused, match="not a SQLAlchemy URL") as refused:
        DatabaseRows("me:s3cret@host")
    assert "s3cret" not in str(refused.value)
    (tmp_path / "text.db").write_text("this is no database, and long enough to be looked at " * 20)
    with pytest.raises(DatabaseUnavailable, match="file is not a database"):
        read(DatabaseRows(f"sqlite:///{tmp_path}/text.db"), "T")


def test_further_columns_follow_the_text(database: str) -> None:
    rows = DatabaseRows(database)
    with rows.read("iris.Review", COLUMNS, 3, {"group_column": "reviewlabel"}) as found:
        read_rows = list(found)
    assert [(label, group) for label, _text, group in read_rows] == [(row[0], row[0]) for row in read_rows]
    with statements(rows) as log:
        for column, said in (
            ("Secrets", "group_column: there is no column S"),
            ("a b", "group_column has 'a b'"),
        ):
            with (
                pytest.raises(RequestRefused, match=said) as caught,
                rows.read("iris.Review", COLUMNS, 3, {"group_column": column}),
            ):
                pass
            assert caught.value.field == "group_column"
    assert not [statement for statement, _ in log if "Secrets" in statement or "a b" in statement]


def test_what_postgresql_reads_like_a_table(postgresql: str) -> None:
    engine = create_engine(postgresql)
    with engine.begin() as connection:
        for statement in (
            'CREATE MATERIALIZED VIEW iris.kept AS SELECT * FROM iris."Review"',
            'CREATE TABLE iris.parted (LIKE iris."Review") PARTITION BY LIST ("ReviewLabel")',
            "CREATE EXTENSION IF NOT EXISTS file_fdw",
            "CREATE SERVER s FOREIGN DATA WRAPPER file_fdw",
            "CREATE FOREIGN TABLE iris.other (n int, t text) SERVER s OPTIONS (program 'echo 1,fine', format 'csv')",
        ):
            connection.execute(text(statement))
    rows = DatabaseRows(postgresql)
    try:
        assert sorted(read(rows, "iris.Kept")) == sorted(reviews(120))
        assert read(rows, "iris.parted") == []
        assert read(rows, "iris.other", ("n", "t")) == [(1, "fine")]
        with pytest.raises(RequestRefused, match=r"there is no table kep in iris\. Did you mean kept"):
            read(rows, "iris.kep")
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP MATERIALIZED VIEW iris.kept"))
            connection.execute(text("DROP TABLE iris.parted"))
            connection.execute(text("DROP SERVER s CASCADE"))
        engine.dispose()


def test_uris_of_sqlite(sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sqlite.removeprefix("sqlite:///")
    folder = tmp_path / "a b%"
    folder.mkdir()
    shutil.copy(file, folder / "reviews.db")
    monkeypatch.chdir(folder)
    for uri in (
        f"file:{file}?mode=ro&uri=true",
        f"file://{file}?immutable=1&uri=1",
        f"file:{quote(str(folder))}/reviews.db?uri=true",
        "file:reviews.db?mode=ro&uri=true",
        f"{file}?uri=true",
    ):
        assert len(read(DatabaseRows(f"sqlite:///{uri}"), "iris.Review")) == 120, uri
    for uri in ("file:none.db?uri=true", f"file:{folder}/none.db?mode=ro&uri=true", "none.db?uri=true"):
        with pytest.raises(DatabaseUnavailable, match=r"there is no file .*none\.db"):
            read(DatabaseRows(f"sqlite:///{uri}"), "iris.Review")
    with pytest.raises(RequestRefused, match=r"file:reviews\.db is a URI of SQLite, which needs `uri=true`"):
        read(DatabaseRows("sqlite:///file:reviews.db?mode=ro"), "iris.Review")
    with pytest.raises(RequestRefused, match="there is no table Review"):
        read(DatabaseRows("sqlite:///file:x?mode=memory&uri=true"), "iris.Review")
    for wrong in ("uri=maybe", "timeout=soon"):
        with pytest.raises(RequestRefused, match=r"after the \? of the URL has a value that sqlite cannot use"):
            read(DatabaseRows(f"sqlite:///{file}?{wrong}"), "iris.Review")
    assert [found.name for found in folder.iterdir()] == ["reviews.db"]


def test_others_can_write_while_rows_are_tokenised(tmp_path: Path, tiny_bert: Path) -> None:
    url = fill(f"sqlite:///{tmp_path}/reviews.db", 2500)
    settings = ModelSettings(path=tiny_bert.parent, model_name=tiny_bert.name)
    tokenizer = load_tokenizer(str(tiny_bert), settings)
    written = []

    class Busy:
        """Tokenizer that writes to the database while it is called."""

        def __call__(self, texts: list[str], **arguments: Any) -> Any:
            with contextlib.closing(sqlite3.connect(tmp_path / "reviews.db", timeout=0)) as connection, connection:
                connection.execute("INSERT INTO Review VALUES (1, 'written meanwhile')")
            written.append(len(texts))
            return tokenizer(texts, **arguments)

        def __len__(self) -> int:
            return len(tokenizer)

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

    request = TrainRequest.of({"table": "Review", "columns": "ReviewLabel,ReviewText"})
    with TextFile() as texts:
        rows = TokenisedRows(cast("Any", Busy()), 16, request.columns, texts, split_rule(request))
        read_table(DatabaseRows(url), request, rows)
        assert written == [1000, 1000, 500]
        assert len(rows) == len(rows.lengths()) == len(rows.keys) == 2500
        assert sorted(texts.between(990, 2500)) == sorted(review for _, review in reviews(2500)[990:])
        assert rows.tokens(2400).tolist() == tokenizer(texts[2400], truncation=True, max_length=16)["input_ids"]


def test_texts_that_the_temporary_folder_cannot_hold() -> None:
    for text_ in ("a short text", "a long text" * 10_000):
        texts = TextFile()
        texts._file.close()
        texts._file = cast("Any", Path("/dev/full").open("wb"))  # noqa: SIM115 - closed by the context
        with texts, pytest.raises(TuningError, match=r"cannot be written to /.*: No space left on device\. Make room"):  # noqa: PT012 - either tells
            texts.append(text_)
            texts.flush()


def iris_statement(limit: int | None, keys: list[str], *, modern: bool = False) -> str:
    """The IRIS dialect writes the statements; no IRIS server runs here, so the catalogue is a fake."""
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
