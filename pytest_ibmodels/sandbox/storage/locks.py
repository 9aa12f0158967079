"""Locks on paths, within this process and between processes."""

import fcntl
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self

from pytest_ibmodels.sandbox.errors import BusyError, refusal

_LOCK_FILES = 512
_LOCK_SECONDS = 60.0
_LONGEST_PAUSE = 0.05


class PathLocks:
    """Queue of changes: those of the same path, or of a folder and a path in it, run one after the other.

    There is no deadlock as long as a thread locks all paths of a change at once.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[Path, ...]] = []
        self._changed = threading.Condition()

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """Pickle for another process, whose changes do not wait for those of this one."""
        return type(self), ()

    @contextmanager
    def hold(self, *paths: Path) -> Iterator[None]:
        """Wait for earlier changes of these paths, and block later ones until the block ends."""
        with self._changed:
            self._queue.append(paths)
            self._changed.wait_for(lambda: self._is_next(paths))
        try:
            yield
        finally:
            with self._changed:
                del self._queue[self._position(paths)]
                self._changed.notify_all()

    def _is_next(self, paths: tuple[Path, ...]) -> bool:
        earlier = self._queue[: self._position(paths)]
        return not any(_overlap(one, other) for others in earlier for other in others for one in paths)

    def _position(self, paths: tuple[Path, ...]) -> int:
        # By identity: equal paths may be queued several times.
        return next(position for position, queued in enumerate(self._queue) if queued is paths)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


class SharedPathLocks(PathLocks):
    """Queue of changes that also waits for changes of the same paths by other processes.

    A path is locked by a file in ``folder``, which all processes see: changes share the locks of the folders above it,
    and have that of the path itself alone. There are few files, so that changes of different paths may wait for each
    other, too. All locks of a change are taken in the order of the files, so there is no deadlock.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        """Lock paths below ``root``, which other machines may see elsewhere."""
        super().__init__()
        self.folder = folder
        self.root = root.resolve()
        folder.mkdir(parents=True, exist_ok=True)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """Pickle for another process, whose changes wait for those of this one."""
        return type(self), (self.folder, self.root)

    @contextmanager
    def hold(self, *paths: Path) -> Iterator[None]:
        """Wait for earlier changes of these paths, and block later ones until the block ends.

        Raises:
            BusyError: another process has a path for very long.
        """
        deadline = time.monotonic() + _LOCK_SECONDS
        with super().hold(*paths), ExitStack() as stack:
            for number, mode in sorted(self._needed(paths).items()):
                stack.enter_context(_locked(self.folder / f"{number:03}", mode, deadline))
            yield

    def _needed(self, paths: tuple[Path, ...]) -> dict[int, int]:
        """Numbers of the files, and how each is locked."""
        below = [path.relative_to(self.root) if path.is_relative_to(self.root) else path for path in paths]
        shared = {_file_of(folder): fcntl.LOCK_SH for path in below for folder in path.parents}
        return {**shared, **{_file_of(path): fcntl.LOCK_EX for path in below}}


def _file_of(path: Path) -> int:
    return zlib.crc32(os.fsencode(path)) % _LOCK_FILES


@contextmanager
def _locked(file: Path, mode: int, deadline: float) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            locked = stack.enter_context(file.open("a+", encoding="utf-8"))
            _wait_for_lock(locked, mode, deadline)
        except OSError as error:
            raise refusal("the files could not be locked against other servers", error) from error
        yield


def _wait_for_lock(file: IO[str], mode: int, deadline: float) -> None:
    pause = 0.001
    while not try_lock(file, mode):
        if time.monotonic() > deadline:
            raise BusyError("another server of this sandbox has been changing the same files for a long time")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def try_lock(file: IO[str], mode: int) -> bool:
    """Lock an open file, or change its lock; return False if that contradicts the lock of another.

    Args:
        file: The file; closing it unlocks it.
        mode: ``fcntl.LOCK_EX`` or ``fcntl.LOCK_SH``.

    Raises:
        OSError: the file cannot be locked.
    """
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_locked(file: Path) -> IO[str]:
    """Open ``file``, made if missing, and lock it until it is closed or this process ends.

    Raises:
        BlockingIOError: another process, or another open file of this one, has the lock.
        OSError: the file cannot be opened.
    """
    locked = file.open("a+", encoding="utf-8")
    try:
        fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        locked.close()
        raise
    return locked
