"""Locks on paths: changes of the same file, or of a folder and what is in it, happen one after the other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PathLocks:
    """A queue of changes, in the order in which they were asked for.

    A change waits for those before it that concern one of its paths, a folder above, or anything below. So there is no
    deadlock as long as a thread names all paths of a change at once.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[Path, ...]] = []
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, *paths: Path) -> Iterator[None]:
        """Wait until it is this change's turn, and keep others waiting until it is done."""
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
        # Equal paths may stand in the queue several times: this very tuple is meant.
        return next(position for position, queued in enumerate(self._queue) if queued is paths)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
