"""The journal: a file of what sessions created in environments and have not removed yet.

One SQLite file serves all pytest processes of a root folder. An entry is on disk before its thing is created, and is
removed after the thing is, so that the journal has all that a killed process left. A living process holds a lock on a
file of its own beside the journal. The kernel releases the lock however the process ends, so no process id can be
mistaken for another. Entries hold names, times and hashes, never config values or tokens.
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
from dataclasses import dataclass, replace
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
    """The file cannot be used; the text says which file, why, and what to do."""


@dataclass(frozen=True)
class TrainingJob:
    """Fingerprint of a training job, by which a later session finds it; see :mod:`pytest_ibmodels.engine.reattach`.

    Attributes:
        test: name of the model test.
        package, config: hashes of the contents, in hexadecimal.
        dataset: name of the data; ``marker``: changes with the data, empty if the environment gives none.
        route: name of the route.
        suffix: makes the job's names unique in the environment; ``model``: name of its model.
        accepted: when the environment accepted the job, ISO 8601 in UTC; empty until that is known.
        ended: whether the job is known to have ended well.
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
    """One thing in an environment; the fields are the columns of the file, in their order.

    Attributes:
        key: unique key.
        owner: the process that will remove the thing; ``session``: the pytest run, which may have several processes;
            ``pid``: process id, for people.
        made: time of creation, ISO 8601 in UTC.
        environment: name in `environments.yaml`; ``identity``: see :func:`environment_id`, as the name may come to mean
            another host. Its column is ``place``.
        name: drive path, job id or model name; empty for a job whose id was never read.
        folder: folder of a job or model; empty for others.
        job: fingerprint of a job; None for others.
    """

    key: str
    owner: str
    session: str
    pid: int
    made: str
    environment: str
    identity: str
    kind: Kind
    name: str
    folder: str = ""
    job: TrainingJob | None = None


class Journal:
    """The journal, as used by one process.

    A failed write fails no run: ``problem`` tells of it, and the session continues without a journal.

    Args:
        file: created with the first entry; None disables journaling.
        session: id shared by the processes of one pytest run; None for a process of its own.
    """

    def __init__(self, file: Path | None, session: str | None = None) -> None:
        self.owner = uuid.uuid4().hex
        self.session = session or self.owner
        self.problem = ""
        """Reason why the journal could not be written; empty if there was no problem."""
        self._file = file
        self._database: sqlite3.Connection | None = None
        self._lock: IO[bytes] | None = None
        self._mutex = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "ibmodels-journal")
        self._waiting: list[tuple[list[_Change], asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    def new_entry(
        self,
        environment: str,
        identity: str,
        kind: Kind,
        name: str,
        *,
        folder: str = "",
        job: TrainingJob | None = None,
    ) -> Entry:
        """An entry of this process, not written yet."""
        key, made = uuid.uuid4().hex, datetime.now(UTC).isoformat(timespec="seconds")
        return Entry(key, self.owner, self.session, os.getpid(), made, environment, identity, kind, name, folder, job)

    async def write(self, *entries: Entry) -> None:
        """Write entries, new or changed; they are on disk when this returns."""
        await self._enqueue([(_WRITE, _row(entry)) for entry in entries])

    async def remove(self, *entries: Entry) -> None:
        """Remove the entries of things that no longer exist."""
        await self._enqueue([("DELETE FROM entries WHERE key = ?", (entry.key,)) for entry in entries])

    def left(self, *, session: str | None = None) -> list[Entry]:
        """Entries of processes that are no longer alive, of one session or of all, oldest first.

        Raises:
            JournalError: the file cannot be read.
        """
        entries = self._select("session = ?", session) if session is not None else self._select("TRUE")
        alive = self._living_owners(entries)
        return [entry for entry in entries if entry.owner not in alive]

    def in_use(self) -> list[Entry]:
        """Entries of other processes that are alive. Raises: as :meth:`left`."""
        entries = self._select("owner != ?", self.owner)
        alive = self._living_owners(entries)
        return [entry for entry in entries if entry.owner in alive]

    def other_jobs(self, folder: str) -> list[Entry]:
        """Jobs of other processes, alive or not, in a folder. Raises: as :meth:`left`."""
        return self._select("kind = 'job' AND owner != ? AND folder = ?", self.owner, folder)

    def folder(self, name: str) -> list[Entry]:
        """The entries of a folder, of all processes. Raises: as :meth:`left`."""
        return self._select("kind = 'folder' AND name = ?", name)

    def take_over(self, entry: Entry) -> Entry | None:
        """Make this process the owner of an entry; None if another process was faster, or the entry is gone.

        Raises:
            JournalError: the file cannot be written.
        """
        with self._journal_errors(), self._transaction(create=True) as database:
            values = (self.owner, self.session, os.getpid(), entry.key, entry.owner)
            cursor = database.execute(
                "UPDATE entries SET owner = ?, session = ?, pid = ? WHERE key = ? AND owner = ?", values
            )
            taken = cursor.rowcount == 1
        return next(iter(self._select("key = ?", entry.key)), None) if taken else None

    def close(self) -> None:
        """Close the file. Entries of this process that remain count as left by a dead process."""
        self._thread.shutdown()
        with self._mutex:
            if self._database is not None:
                self._database.close()
                self._database = None
            if self._lock is not None:
                with contextlib.suppress(OSError):
                    self._lock_file(self.owner).unlink()
                self._lock.close()
                self._lock = None

    # --- writing ---

    async def _enqueue(self, changes: list[_Change]) -> None:
        """Wait until the writing thread has written the changes; it batches those that arrive while it writes."""
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
                except RuntimeError:  # the interpreter is shutting down and starts no thread
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
        with self._journal_errors(), self._transaction(create=False) as database:
            if database is None:
                return []
            query = f"SELECT {', '.join(_COLUMNS)} FROM entries WHERE {condition} ORDER BY made, rowid"  # noqa: S608 - ours
            return [_entry(row) for row in database.execute(query, values)]

    @contextlib.contextmanager
    def _journal_errors(self) -> Iterator[None]:
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
            database = self._open(create=create)
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

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        if self._file is None or not (create or self._file.exists()):
            return None
        if create and self._lock is None:
            _make_folder(self._file.parent)
        if self._database is None or (create and self._lock is None):
            # One process at a time: two that switch a new file to write-ahead logging at once get "database is locked",
            # and a lock file that is not locked yet must not be taken for a dead process's.
            with self._file.with_suffix(".opening").open("wb") as opening:
                fcntl.flock(opening, fcntl.LOCK_EX)
                if self._database is None:
                    self._database = _connect(self._file)
                if create and self._lock is None:
                    self._remove_stale_locks()
                    self._lock = self._lock_file(self.owner).open("wb")
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self._database

    def _remove_stale_locks(self) -> None:
        assert self._file is not None  # noqa: S101 - the caller opens it
        for path in self._file.parent.glob(f"*{_LOCK_SUFFIX}"):
            if not self._is_alive(path.name.removesuffix(_LOCK_SUFFIX)):
                path.unlink(missing_ok=True)

    def _living_owners(self, entries: Sequence[Entry]) -> set[str]:
        with self._journal_errors():
            return {owner for owner in {entry.owner for entry in entries} if self._is_alive(owner)}

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
        # pytest writes this file when it creates its cache folder, but not into one that exists.
        (cache / ".gitignore").write_text("*\n", encoding="utf-8")
    folder.mkdir(exist_ok=True)


def _connect(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    with contextlib.ExitStack() as on_error:
        on_error.callback(database.close)
        database.execute("PRAGMA journal_mode = WAL")
        # A commit waits for the disk, so that entries survive a power cut.
        database.execute("PRAGMA synchronous = FULL")
        if database.execute("PRAGMA user_version").fetchone()[0] > _VERSION:
            raise sqlite3.DatabaseError("it was written by a newer version of pytest-ibmodels")
        database.execute(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_VERSION}")
        on_error.pop_all()
    return database


def _row(entry: Entry) -> tuple[object, ...]:
    *values, job = vars(entry).values()
    return (*values, json.dumps(vars(job)) if job is not None else "")


def _entry(row: Sequence[Any]) -> Entry:
    entry = Entry(*row)
    return replace(entry, job=TrainingJob(**json.loads(row[-1])) if row[-1] else None)
