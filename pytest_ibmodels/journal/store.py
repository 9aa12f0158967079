"""The journal: what sessions made in environments and have not removed yet, in a file that survives their end.

One SQLite file serves all pytest processes of a root folder. An entry is written, and is on the disk, before the thing
is made, and taken out after the thing was removed; what a killed process made is therefore in it. A process that is
alive holds a lock on a file of its own, beside the journal: the kernel lets go of it however the process ends, so there
is no process id to mistake for another. An entry holds names, times and hashes, never a value of a config or a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Kind = Literal["folder", "file", "job", "model"]

_VERSION = 1
_BUSY_SECONDS = 10.0
_LOCK_SUFFIX = ".lock"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, session TEXT NOT NULL, pid INTEGER NOT NULL, made TEXT NOT NULL,
    environment TEXT NOT NULL, place TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, folder TEXT NOT NULL,
    job TEXT NOT NULL
) STRICT
"""
_COLUMNS = ("key", "owner", "session", "pid", "made", "environment", "place", "kind", "name", "folder", "job")
_WRITE = f"INSERT OR REPLACE INTO entries ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608

_Change = tuple[str, tuple[object, ...]]


class JournalError(Exception):
    """The file cannot be read; the text says which, why, and what to do."""


@dataclass(frozen=True)
class TrainingJob:
    """What a training job trains, for a later session to know it by; see :mod:`pytest_ibmodels.engine.reattach`.

    Attributes:
        test: name of the model test.
        package, config: hashes of the contents, in hexadecimal.
        dataset: drive path; ``marker``: when it was modified and how large it was, empty if the environment cannot say.
        route: the name of the way it trains.
        suffix: what makes its names unique in the environment; ``model``: the name of the model that it makes.
        accepted: when the environment accepted it, ISO 8601 in UTC; empty while that is not known.
        ended: whether it was seen to have ended well.
    """

    test: str
    package: str
    dataset: str
    marker: str
    config: str
    route: str
    suffix: str = ""
    model: str = ""
    accepted: str = ""
    ended: bool = False


@dataclass(frozen=True)
class Entry:
    """One thing in an environment.

    Attributes:
        key: of the entry.
        owner: the process that answers for it; ``session``: of all processes of one pytest run; ``pid``: for people.
        made: ISO 8601 in UTC.
        environment: its name in `environments.yaml`; ``place``: which one that was, so that the same name with another
            host is not mistaken for it.
        name: drive path, job id or model name; empty for a job of which the answer to its start is not known.
        folder: the folder in which a job or a file has its place; empty for others.
        job: of a job.
    """

    key: str
    owner: str
    session: str
    pid: int
    made: str
    environment: str
    place: str
    kind: Kind
    name: str
    folder: str = ""
    job: TrainingJob | None = None


class Journal:
    """The journal as one process uses it.

    Writing never fails a run: what went wrong is in ``problem``, and everything goes on without a journal.

    Args:
        file: made with the first entry; None: nothing is kept.
        session: common to the processes of one pytest run; None: this process is alone in its own.
    """

    def __init__(self, file: Path | None, session: str | None = None) -> None:
        self.owner = uuid.uuid4().hex
        self.session = session or self.owner
        self.problem = ""
        """A sentence, once something could not be written."""
        self._file = file
        self._database: sqlite3.Connection | None = None
        self._alive: IO[bytes] | None = None
        self._mutex = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "ibmodels-journal")
        self._waiting: list[tuple[list[_Change], asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    def entry(
        self, environment: str, place: str, kind: Kind, name: str, *, folder: str = "", job: TrainingJob | None = None
    ) -> Entry:
        """An entry of this process, not written yet."""
        made = datetime.now(UTC).isoformat(timespec="seconds")
        return Entry(
            uuid.uuid4().hex, self.owner, self.session, os.getpid(), made, environment, place, kind, name, folder, job
        )

    async def write(self, *entries: Entry) -> None:
        """Write entries, or their new state; on the disk when this returns."""
        await self._do([(_WRITE, _row(entry)) for entry in entries])

    async def remove(self, *entries: Entry) -> None:
        """Take out the entries of things that are gone."""
        await self._do([("DELETE FROM entries WHERE key = ?", (entry.key,)) for entry in entries])

    def left(self, *, session: str | None = None) -> list[Entry]:
        """What processes made that are no longer alive, of one session or of all, oldest first.

        Raises:
            JournalError: the file cannot be read.
        """
        entries = self._select("session = ?", session) if session is not None else self._select("TRUE")
        with self._guarded():
            alive = {owner for owner in {entry.owner for entry in entries} if self._is_alive(owner)}
        return [entry for entry in entries if entry.owner not in alive]

    def in_use(self) -> list[Entry]:
        """What processes made that are alive, this one left out. Raises: as :meth:`left`."""
        entries = self._select("owner != ?", self.owner)
        with self._guarded():
            alive = {owner for owner in {entry.owner for entry in entries} if self._is_alive(owner)}
        return [entry for entry in entries if entry.owner in alive]

    def others(self, folder: str) -> list[Entry]:
        """Jobs in a folder that other processes, alive or not, answer for. Raises: as :meth:`left`."""
        return self._select("kind = 'job' AND owner != ? AND folder = ?", self.owner, folder)

    def folder(self, name: str) -> list[Entry]:
        """The entries of a folder, whoever made it. Raises: as :meth:`left`."""
        return self._select("kind = 'folder' AND name = ?", name)

    def take(self, entry: Entry) -> Entry | None:
        """Answer for an entry from now on; None if somebody else was faster, or it is gone.

        Raises:
            JournalError: the file cannot be written.
        """
        with self._guarded(), self._transaction(create=True) as database:
            values = (self.owner, self.session, os.getpid(), entry.key, entry.owner)
            cursor = database.execute(
                "UPDATE entries SET owner = ?, session = ?, pid = ? WHERE key = ? AND owner = ?", values
            )
            taken = cursor.rowcount == 1
        return next(iter(self._select("key = ?", entry.key)), None) if taken else None

    def close(self) -> None:
        """Let go of the file. What is still in the journal counts as left from now on."""
        self._thread.shutdown()
        with self._mutex:
            if self._database is not None:
                self._database.close()
                self._database = None
            if self._alive is not None:
                with contextlib.suppress(OSError):
                    self._lock_file(self.owner).unlink()
                self._alive.close()
                self._alive = None

    # --- writing ---

    async def _do(self, changes: list[_Change]) -> None:
        """Hand over to the writing thread; what comes while it writes is written together, with one wait."""
        if self._file is None or self.problem or not changes:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((changes, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            changes = [change for several, _ in batch for change in several]
            try:
                try:
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, changes)
                except RuntimeError:  # the interpreter ends, and lets no thread begin anything
                    self._commit(changes)
            except (sqlite3.Error, OSError) as error:
                self.problem = (
                    f"the journal {self._file} cannot be written ({error}): "
                    "if this session is killed, `ibmodels sweep` does not know all that it made"
                )
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    def _commit(self, changes: Sequence[_Change]) -> None:
        with self._transaction(create=True) as database:
            for statement, values in changes:
                database.execute(statement, values)

    # --- the file ---

    def _select(self, condition: str, *values: object) -> list[Entry]:
        with self._guarded(), self._transaction(create=False) as database:
            if database is None:
                return []
            # Only the conditions of this module come here.
            query = f"SELECT {', '.join(_COLUMNS)} FROM entries WHERE {condition} ORDER BY made, rowid"  # noqa: S608
            return [_entry(row) for row in database.execute(query, values)]

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal {self._file} cannot be used: {error}; once nothing is left in the environments, "
                "or you do not want to know of it, delete the file"
            ) from None

    @contextlib.contextmanager
    def _transaction(self, *, create: bool) -> Iterator[Any]:
        with self._mutex:
            database = self._opened(create=create)
            if database is None:
                yield None
                return
            database.execute("BEGIN IMMEDIATE" if create else "BEGIN")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _opened(self, *, create: bool) -> sqlite3.Connection | None:
        if self._file is None or not (create or self._file.exists()):
            return None
        if create and self._alive is None:
            _make_folder(self._file.parent)
        if self._database is None or (create and self._alive is None):
            # One process after the other: two that switch a new file to write-ahead logging at once are told that it
            # is locked, and a lock file that is not locked yet must not be taken for that of a dead process.
            with self._file.with_suffix(".opening").open("wb") as opening:
                fcntl.flock(opening, fcntl.LOCK_EX)
                if self._database is None:
                    self._database = _connected(self._file)
                if create and self._alive is None:
                    self._remove_locks_of_the_dead()
                    self._alive = self._lock_file(self.owner).open("wb")
                    fcntl.flock(self._alive, fcntl.LOCK_EX)
        return self._database

    def _remove_locks_of_the_dead(self) -> None:
        assert self._file is not None  # noqa: S101 - it is being opened
        for path in self._file.parent.glob(f"*{_LOCK_SUFFIX}"):
            if not self._is_alive(path.name.removesuffix(_LOCK_SUFFIX)):
                path.unlink(missing_ok=True)

    def _is_alive(self, owner: str) -> bool:
        if owner == self.owner:
            return True
        try:
            with self._lock_file(owner).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _lock_file(self, owner: str) -> Path:
        assert self._file is not None  # noqa: S101 - without a file there are no entries, and no owners
        return self._file.with_name(f"{owner}{_LOCK_SUFFIX}")


def _make_folder(folder: Path) -> None:
    cache = folder.parent
    if not cache.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # As pytest does when it makes its cache folder, which it now finds made.
        (cache / ".gitignore").write_text("*\n", encoding="utf-8")
    folder.mkdir(exist_ok=True)


def _connected(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # A commit waits for the disk: after a power cut, too, everything that was made is known.
        database.execute("PRAGMA synchronous = FULL")
        _refuse_newer(database)
        database.execute(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _refuse_newer(database: sqlite3.Connection) -> None:
    if database.execute("PRAGMA user_version").fetchone()[0] > _VERSION:
        raise sqlite3.DatabaseError("it was written by a newer version of pytest-ibmodels")


def _row(entry: Entry) -> tuple[object, ...]:
    values = {**vars(entry), "job": json.dumps(vars(entry.job)) if entry.job is not None else ""}
    return tuple(values[column] for column in _COLUMNS)


def _entry(row: Sequence[Any]) -> Entry:
    values = dict(zip(_COLUMNS, row, strict=True))
    job = values.pop("job")
    return Entry(**values, job=TrainingJob(**json.loads(job)) if job else None)
