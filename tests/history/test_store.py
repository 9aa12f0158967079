"""The history as several processes use it, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from pytest_ibmodels.history.errors import HistoryError
from pytest_ibmodels.history.location import database_url
from pytest_ibmodels.history.runs import StoredMetric
from pytest_ibmodels.history.store import History
from pytest_ibmodels.verdicts.results import Labels
from tests.conftest import ROOT
from tests.databases import empty_database
from tests.history.samples import BEGIN, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

WRITER = """
import sys
from pytest_ibmodels.history.store import History
from tests.history.samples import run

url, begin, count, metrics = sys.argv[1], *map(int, sys.argv[2:])
with History.open(url) as history:
    for number in range(begin, begin + count):
        history.add(run(number, metrics=run().metrics * metrics))
        print(number, flush=True)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.sqlite"
    server: str = request.getfixturevalue("postgresql")
    return empty_database(server)


@pytest.fixture
def history(url: str) -> Iterator[History]:
    with History.open(url) as opened:
        yield opened


@contextlib.contextmanager
def writer(url: str, begin: int, count: int, metrics: int = 1) -> Iterator[subprocess.Popen[str]]:
    """A process that adds so many runs and prints the number of each that is stored."""
    command = [sys.executable, "-c", WRITER, url, str(begin), str(count), str(metrics)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process


def stored(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(line) for line in process.stdout if line.endswith("\n")]


def test_a_run_comes_back_as_it_was_added(history: History) -> None:
    assert history.runs("receipts", with_documents=True) == []
    assert history.add(run()) == 1
    assert history.runs("receipts", with_documents=True) == [run()]


def test_a_known_run_changes_nothing(history: History) -> None:
    assert history.add(run(1), run(2)) == 2
    assert history.add(run(2, 0.1, verdict="failed"), run(3), run(3)) == 1
    assert history.runs("receipts", with_documents=True) == [run(1), run(2), run(3)]


def test_runs_are_found_by_project_test_and_environment_in_time_order(history: History) -> None:
    others = run(4, project="licenses"), run(5, test="Others"), run(6, environment="prod")
    history.add(*others, run(2), run(1), run(3))
    assert [one.id[-1] for one in history.runs("receipts")] == ["1", "2", "3", "5", "6"]
    assert history.runs("receipts", test="Receipts", environment="dogfood", with_documents=True) == [
        run(1),
        run(2),
        run(3),
    ]
    assert [one.id[-1] for one in history.runs("receipts", last=1)] == ["3", "5", "6"]
    assert history.runs("receipts", test="Receipts", environment="dogfood", last=2, with_documents=True) == [
        run(2),
        run(3),
    ]
    assert history.runs("licenses", with_documents=True) == [others[0]]
    assert history.tests("receipts") == [("Others", "dogfood"), ("Receipts", "dogfood"), ("Receipts", "prod")]


def test_odd_values_are_stored_as_far_as_a_database_can(history: History) -> None:
    name = "Zoë's \"1%\" \\ '; DROP TABLE ibmodels_runs; -- \U0001f600\n"
    metrics = (
        StoredMetric("f1", name, float("nan"), low=float("-inf"), count=2**70),
        StoredMetric("f1\0", "\ud800", 1e-300),
    )
    odd = run(test=name, project=name, metrics=metrics, seed=2**64, documents={name: {name: Labels(name, name)}})
    history.add(odd)
    expected = (StoredMetric("f1", name, None), StoredMetric("f1\ufffd", "?", 1e-300))
    assert history.runs(name, test=name, with_documents=True) == [replace(odd, metrics=expected, seed=None)]


def test_a_clock_that_was_set_back_and_other_zones_keep_every_run(history: History) -> None:
    east = timezone(timedelta(hours=9))
    history.add(run(1, started=BEGIN + timedelta(hours=1)))
    history.add(run(2, started=(BEGIN - timedelta(days=3)).astimezone(east)))
    history.add(run(3, started=BEGIN.replace(tzinfo=None)))
    assert [one.id[-1] for one in history.runs("receipts")] == ["2", "3", "1"]
    assert history.runs("receipts")[0].started == BEGIN - timedelta(days=3)


def test_a_history_travels_as_json_lines_and_merges_twice(history: History, tmp_path: Path) -> None:
    runs = [run(1), run(2, seed=None, documents=None, seconds=None), run(3, metrics=())]
    history.add(*runs, run(9, project="licenses"))
    lines = list(history.export("receipts"))
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    with History.open(f"sqlite:///{tmp_path}/other.sqlite") as other:
        other.add(run(1))
        assert other.import_([*lines, "\n"]) == (2, 1)
        assert other.import_(lines) == (0, 3)
        assert other.runs("receipts", with_documents=True) == runs


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not a run of an exported history: Expecting property name"),
        ("[1]", "line 2 .*: it is not a JSON object"),
        ('{"id": "1"}', "line 2 .*: its format is None, not 1"),
        ('{"format": 2}', "line 2 .*: it has format 2, of a newer version of pytest-ibmodels: update"),
        ('{"format": 1, "started": "2026-01-01T00:00:00+00:00"}', "line 2 .*: it has no 'id'"),
        ('{"format": 1, "started": "yesterday", "id": 5}', "line 2 .*: its 'id' is 5"),
        ('{"format": 1, "started": "2026-01-01T00:00:00+00:00", "size": 5}', "line 2 .*: 'size' is not known"),
    ],
)
def test_a_line_that_is_no_run_is_named_and_nothing_is_imported(line: str, message: str, tmp_path: Path) -> None:
    with History.open(f"sqlite:///{tmp_path}/history.sqlite") as history:
        history.add(run(1))
        first = next(history.export("receipts")).replace(run(1).id, "new")
        with pytest.raises(HistoryError, match=message):
            history.import_([first, line])
        assert history.runs("receipts", with_documents=True) == [run(1)]


def test_two_writers_at_once_lose_nothing(url: str) -> None:
    with writer(url, 0, 40) as one, writer(url, 100, 40) as other:
        reported = [*stored(one), *stored(other)]
    assert len(reported) == 80
    with History.open(url) as history:
        assert {int(found.id, 16) for found in history.runs("receipts")} == set(reported)


def test_a_writer_killed_in_mid_write_leaves_whole_runs_only(url: str) -> None:
    for attempt in range(3):
        with writer(url, attempt * 1000, 1000, metrics=400) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.05 + attempt * 0.013)
            process.send_signal(signal.SIGKILL)
            reported = {attempt * 1000, *stored(process)}
        with History.open(url) as history:
            found = {int(one.id, 16): len(one.metrics) for one in history.runs("receipts")}
            assert reported <= set(found)
            assert set(found.values()) == {1200}
            history.add(run(10_000 + attempt, metrics=run().metrics * 400))


# --- a database that cannot be used ---


def refused(url: str) -> str:
    with History.open(url) as history, pytest.raises(HistoryError) as caught:
        history.add(run(77))
    return str(caught.value)


def test_a_newer_history_is_neither_read_nor_written(history: History, url: str) -> None:
    history.add(run())
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE ibmodels_history SET version = 99"))
    engine.dispose()
    assert "tables of version 99, of a newer pytest-ibmodels" in refused(url)
    with History.open(url) as again, pytest.raises(HistoryError, match="upgrade pytest-ibmodels"):
        again.runs("receipts")


def test_a_locked_history_is_waited_for_and_then_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.sqlite"
    with History.open(url) as history:
        history.add(run())
    with contextlib.closing(sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        message = refused(f"{url}?timeout=0.3")
        assert 0.25 < time.monotonic() - begun < 5
    assert "another process holds its lock" in message


def test_a_damaged_file_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_bytes(b"no database, in spite of its name" * 100)
    assert "it is damaged, or no database: move the file away" in refused(f"sqlite:///{tmp_path}/history.sqlite")
    assert "it cannot be opened: create its folder" in refused(f"sqlite:///{tmp_path}/none/history.sqlite")


def test_a_read_only_history_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///file:{tmp_path}/history.sqlite?mode=ro&uri=true"
    with History.open(f"sqlite:///{tmp_path}/history.sqlite") as history:
        history.add(run())
    assert "it is read-only: allow this user to write it" in refused(url)
    with History.open(url) as history:
        assert history.runs("receipts", with_documents=True) == [run()]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_ibmodels.history import store

    url = f"sqlite:///{tmp_path}/history.sqlite"
    with History.open(url) as history:
        history.add(run())
        # SQLite itself says that the disk is full if a file may not grow.
        insert = store._insert

        def insert_on_full_disk(connection: Connection, runs: object) -> int:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            return insert(connection, runs)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "_insert", insert_on_full_disk)
        with pytest.raises(HistoryError, match="the disk is full: free some space"):
            history.add(run(1, metrics=run().metrics * 1000))
        assert history.runs("receipts", with_documents=True) == [run()]


def test_an_unreachable_server_is_named_without_its_password() -> None:
    url = "postgresql+psycopg://me:hunter2-of-history@127.0.0.1:1/none?password=hunter3-of-history"
    message = refused(url)
    assert "cannot be reached: check host, port and network" in message
    assert "hunter" not in message


def test_a_user_without_rights_is_told_so(request: pytest.FixtureRequest) -> None:
    server: str = request.getfixturevalue("postgresql")
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE reader LOGIN"))
    engine.dispose()
    assert "may not use it: give the user rights" in refused(server.replace("tester@", "reader@"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nothing", "no URL of SQLAlchemy"),
        ("oracle+none://x/y", "needs the driver oracle+none, which is not installed"),
    ],
)
def test_a_wrong_url_is_named(url: str, message: str) -> None:
    with pytest.raises(HistoryError, match=message.replace("+", r"\+")):
        History.open(url)


# --- the setting ---


def test_the_setting_names_a_database(tmp_path: Path) -> None:
    def of(setting: str) -> str | None:
        return database_url(setting, tmp_path / "c%d" / "h.sqlite", tmp_path, {"PASSWORD": "p@ss/word-of-history"})

    assert of("none") is None
    assert of("cache") == f"sqlite:///{tmp_path}/c%25d/h.sqlite"
    assert of("sqlite:///h.db") == f"sqlite:///{tmp_path}/h.db"
    assert of("postgresql://me:${PASSWORD}@h/d") == "postgresql://me:p%40ss%2Fword-of-history@h/d"
    with pytest.raises(HistoryError, match="should be `cache`, `none`, or a URL"):
        of("h.db")
    with pytest.raises(HistoryError, match="needs the variable OTHER, which is not set"):
        of("postgresql://me:${OTHER}@h/d")


def test_a_folder_of_the_cache_is_made_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "c%d e" / "ibmodels" / "history.sqlite"
    url = database_url("cache", file, tmp_path, os.environ)
    assert url is not None
    with History.open(url) as history:
        assert history.runs("receipts", with_documents=True) == []
        assert not file.parent.exists()
        history.add(run())
        assert history.runs("receipts", with_documents=True) == [run()]
    assert file.is_file()
    assert (tmp_path / "c%d e" / ".gitignore").read_text() == "*\n"
