"""The journal: several processes at once, processes that are killed, files that cannot be used."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.engine.reattach import difference
from pytest_ibmodels.journal.environment import EnvironmentJournal, environment_id
from pytest_ibmodels.journal.store import (
    Journal,
    JournalError,
    TrainingJob,
)
from pytest_ibmodels.spec.environments import ResolvedEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOB = TrainingJob("T", "package", "a/b/fs/D/x.ibannotator", "marker", "config", "annotator")
HOST = "https://h.example"

WRITER = """
import asyncio, sys, time
from pathlib import Path
from pytest_ibmodels.journal.store import Journal
journal = Journal(Path(sys.argv[1]), sys.argv[2])
async def main():
    entries = [journal.new_entry("dogfood", "https://h.example", "folder", f"{sys.argv[2]}/{n}") for n in range(20)]
    await asyncio.gather(*(journal.write(entry) for entry in entries))
    await journal.remove(*entries[10:])
    print(journal.problem or "written", flush=True)
asyncio.run(main())
time.sleep(60)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "ibmodels" / "journal.sqlite"


@pytest.fixture
def journal(file: Path) -> Iterator[Journal]:
    journal = Journal(file)
    yield journal
    journal.close()


def made(file: Path, *names: str, session: str | None = None) -> None:
    """Let a process that is no longer alive have made folders."""
    dead = Journal(file, session)
    asyncio.run(dead.write(*(dead.new_entry("dogfood", HOST, "folder", name) for name in names)))
    assert dead.problem == ""
    dead.close()


def test_processes_that_write_at_once_lose_nothing_and_only_the_dead_left_something(
    file: Path, journal: Journal
) -> None:
    command = [sys.executable, "-c", WRITER, str(file)]
    writers = [
        subprocess.Popen([*command, f"session{number}"], stdout=subprocess.PIPE, text=True) for number in range(4)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "written\n"
        assert journal.left() == []
        assert len(journal.in_use()) == 40
        writers[2].kill()
        writers[2].wait()
        assert [entry.name for entry in journal.left()] == [f"session2/{number}" for number in range(10)]
        assert len(journal.in_use()) == 30
        assert journal.left(session="session1") == []
        assert len(journal.left(session="session2")) == 10
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
    assert len(journal.left()) == 40


def test_what_one_process_takes_no_other_gets(file: Path, journal: Journal) -> None:
    made(file, "a/b/fs/D/x")
    (entry,) = journal.left()
    taken = journal.take_over(entry)
    assert taken is not None
    assert (taken.owner, taken.name) == (journal.owner, entry.name)
    other = Journal(file)
    assert other.take_over(entry) is None
    assert other.left() == []
    other.close()


def test_a_journal_that_is_only_read_makes_no_file(file: Path, journal: Journal) -> None:
    assert journal.left() == []
    assert journal.in_use() == []
    assert not file.parent.exists()


def test_the_cache_folder_that_it_makes_is_ignored_by_git_and_holds_no_locks_of_the_dead(file: Path) -> None:
    made(file, "a")
    (file.parent / "0123.lock").touch()  # as a killed process leaves it
    made(file, "b")
    assert (file.parent.parent / ".gitignore").read_text() == "*\n"
    assert list(file.parent.glob("*.lock")) == []


def test_what_cannot_be_written_is_said_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    journal = Journal(tmp_path / "cache" / "ibmodels" / "journal.sqlite")
    asyncio.run(journal.write(journal.new_entry("dogfood", HOST, "folder", "a")))
    assert "journal.sqlite cannot be written (" in journal.problem
    assert journal.problem.endswith("if this session is killed, `ibmodels sweep` does not know all that it made")
    journal.close()


@pytest.mark.parametrize("newer", [True, False])
def test_a_file_that_is_no_journal_is_an_error_that_says_what_to_do(file: Path, journal: Journal, newer: bool) -> None:
    file.parent.mkdir(parents=True)
    if newer:
        database = sqlite3.connect(file)
        database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        file.write_text("not a database, whatever its name says")
    reason = "it was written by a newer version" if newer else "file is not a database"
    with pytest.raises(JournalError, match=rf"{file} cannot be used: {reason}.*; once nothing is left"):
        journal.left()


def test_a_ledger_writes_before_and_after(file: Path) -> None:
    async def work() -> None:
        mine = Journal(file)
        environment_journal = EnvironmentJournal(mine, "dogfood", HOST)
        entry = await environment_journal.add("job", "", folder="f", job=JOB)
        assert [(one.name, one.job) for one in mine.left()] == []  # it is alive, and in use for all others
        entry = await environment_journal.record_accepted(entry, "j1")
        await environment_journal.record_ended(entry)
        folder = await environment_journal.add("folder", "f")
        await environment_journal.remove(folder)
        mine.close()

    asyncio.run(work())
    with contextlib.closing(Journal(file)) as later:
        (left,) = later.left()
    assert (left.kind, left.name, left.folder) == ("job", "j1", "f")
    assert left.job is not None
    assert left.job.ended
    assert left.job.accepted.endswith("+00:00")


def test_of_a_sandbox_that_keeps_nothing_nothing_is_written(file: Path, journal: Journal) -> None:
    temporary = ResolvedEnvironment(name="e", host="sandbox", path="a/b/fs/D")
    asyncio.run(EnvironmentJournal(journal, "e", environment_id(temporary)).add("folder", "a/b/fs/D/x"))
    assert not file.exists()


def test_an_address_is_kept_without_its_password(tmp_path: Path) -> None:
    remote = ResolvedEnvironment(name="e", host="https://jane:secret@h.example:8443", path="a/b/fs/D")
    assert environment_id(remote) == "https://h.example:8443"
    kept = ResolvedEnvironment(name="e", host="sandbox", path="a/b/fs/D", data=tmp_path)
    assert environment_id(kept) == f"sandbox:{tmp_path}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"suffix": "other", "accepted": "now", "ended": True}, ""),
        ({"marker": ""}, ""),
        ({"marker": "later"}, "the data set was modified since then"),
        ({"package": "other"}, "the package's content has changed"),
        ({"dataset": "other"}, "it was trained on another data set"),
        ({"config": "other"}, "its config has changed"),
        ({"route": "other"}, "it was trained by the route annotator"),
    ],
)
def test_only_a_training_of_the_same_is_continued(change: dict[str, object], reason: str) -> None:
    from dataclasses import replace

    assert difference(JOB, replace(JOB, **change)) == reason  # type: ignore[arg-type]
