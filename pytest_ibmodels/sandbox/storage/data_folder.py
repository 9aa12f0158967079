"""Lock on a data folder: of one server alone, or of all servers that share its databases."""

import os
import shutil
import time
import uuid
from collections.abc import Set as AbstractSet
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_SH
from pathlib import Path
from typing import IO

from pytest_ibmodels.sandbox.errors import DataInUseError, StartError
from pytest_ibmodels.sandbox.storage.locks import try_lock

_SHARED = "shared"
"""Content of the lock file while servers share the folder; otherwise it is the id of the process."""
_START_SECONDS = 30.0
_STALE_SECONDS = 2.0
"""How long the lock file may still have the content of a former server."""
_POLL_SECONDS = 0.1
SCRATCH_SECONDS = 3600.0
"""How long the temporary files of a server that is gone are kept."""


class DataFolder:
    """Data folder that this process may use until :meth:`close`, or its end.

    Servers that share a database share the folder, too; they start one after the other.

    Attributes:
        is_alone: Whether no other server used the folder at the start.

    Raises (when made):
        DataInUseError: Another server uses the folder.
        StartError: The folder cannot be used.
    """

    def __init__(self, data: Path, *, is_shared: bool) -> None:
        self._data = data
        self._is_shared = is_shared
        self._lock: IO[str] | None = None
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._lock = (data / "lock").open("a+", encoding="utf-8")
            self.is_alone = self._claim_shared(self._lock) if is_shared else self._claim(self._lock)
            self.id = self._read_id() if is_shared else ""
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                msg = f"the data folder '{data}' cannot be used: {error.strerror or error}"
                raise StartError(msg) from error
            raise

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.close()

    def let_others_in(self) -> None:
        """Let further servers start, if they share the folder: this one has."""
        if self._lock is None or not self._is_shared:
            return
        deadline = time.monotonic() + _STALE_SECONDS
        # The change of a lock is not atomic.
        while not try_lock(self._lock, LOCK_SH):
            if time.monotonic() > deadline:
                raise self._in_use("in use by another sandbox, which started at the same moment; start this one again")
            time.sleep(_POLL_SECONDS)

    def _claim(self, lock: IO[str]) -> bool:
        if not try_lock(lock, LOCK_EX):
            owner = self._content() or "unknown"
            if owner == _SHARED:
                raise self._in_use(
                    "in use by sandboxes that share a PostgreSQL database; give this one their --database"
                )
            raise self._in_use(f"in use by another sandbox (process {owner}); give this one another --data")
        _write(lock, str(os.getpid()))
        return True

    def _claim_shared(self, lock: IO[str]) -> bool:
        begun = time.monotonic()
        while not try_lock(lock, LOCK_EX):
            if try_lock(lock, LOCK_SH):
                return False
            waited, owner = time.monotonic() - begun, self._content()
            if owner != _SHARED and waited > _STALE_SECONDS:
                raise self._in_use(
                    f"in use by a sandbox (process {owner or 'unknown'}) with a database of its own; "
                    "give both the same PostgreSQL --database, or this one another --data"
                )
            if waited > _START_SECONDS:
                raise self._in_use(f"in use by a sandbox that has been starting for {_START_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        _write(lock, _SHARED)
        return True

    def _in_use(self, reason: str) -> DataInUseError:
        return DataInUseError(f"the data folder '{self._data}' is {reason}")

    def _content(self) -> str:
        return (self._data / "lock").read_text(encoding="utf-8").strip()

    def _read_id(self) -> str:
        """Id of the folder, by which servers on several machines know that they see the same one."""
        file, new = self._data / "id", self._data / f"id-{uuid.uuid4().hex}"
        if not file.exists():
            new.write_text(uuid.uuid4().hex, encoding="utf-8")
            with suppress(FileExistsError):
                file.hardlink_to(new)
            new.unlink()
        return file.read_text(encoding="utf-8").strip()


def remove_old_scratch(scratch: Path, servers: AbstractSet[str]) -> None:
    """Remove temporary files below ``scratch`` of servers other than ``servers``."""
    before = time.time() - SCRATCH_SECONDS
    for folder in scratch.iterdir() if scratch.is_dir() else ():
        with suppress(FileNotFoundError):
            if folder.name not in servers and folder.stat().st_mtime < before:
                shutil.rmtree(folder, ignore_errors=True)


def _write(lock: IO[str], content: str) -> None:
    # The content is for messages; on a full disk it is missing.
    with suppress(OSError):
        os.ftruncate(lock.fileno(), 0)
        os.write(lock.fileno(), content.encode())
