"""Locks on paths, within this process and between processes."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class PathLocks:
    """Queue of changes: those of the same path, or of a folder and a path in it, run one after the other.

    There is no deadlock as long as a thread locks all paths of a change at once.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[Path, ...]] = []
        self._changed = threading.Condition()

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
