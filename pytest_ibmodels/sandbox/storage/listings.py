"""Which entries of a local folder the drive shows, by one rule, and a memory of long listings."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.storage.paths import DrivePath

_KEPT_SECONDS = 10.0
_MOST_KEPT = 8
_SETTLED_NS = 200_000_000
"""Changes of a folder so soon after another may leave it the same modification time."""


@dataclass(frozen=True)
class _Listing:
    state: tuple[int, int, int]
    read: float
    names: list[str]


class Listings:
    """The sorted names in folders. Those of a folder that is read page by page are read from disk once."""

    def __init__(self) -> None:
        self._kept: dict[Path, _Listing] = {}
        self._changing = threading.Lock()

    def names(self, path: DrivePath, local: Path, base: Path) -> list[str]:
        """The sorted names of what can be shown of ``local``, a folder in ``base``; the caller leaves them as they are.

        Entries are left out that no request could name, that are neither file nor folder, and links that lead nowhere
        or out of ``base``.
        """
        found = local.stat()
        state = (found.st_dev, found.st_ino, found.st_mtime_ns)
        kept = self._kept.get(local)
        if kept is not None and kept.state == state and time.monotonic() - kept.read < _KEPT_SECONDS:
            return kept.names
        is_settled = time.time_ns() - found.st_mtime_ns > _SETTLED_NS
        with os.scandir(local) as entries:
            names = sorted(entry.name for entry in entries if _is_shown(entry, path, base))
        if is_settled:
            self._keep(local, _Listing(state, time.monotonic(), names))
        return names

    def _keep(self, local: Path, listing: _Listing) -> None:
        with self._changing:
            young = listing.read - _KEPT_SECONDS
            others = [(key, other) for key, other in self._kept.items() if other.read > young and key != local]
            self._kept = dict([*others[1 - _MOST_KEPT :], (local, listing)])


def _is_shown(entry: os.DirEntry[str], folder: DrivePath, base: Path) -> bool:
    try:
        folder.joined(entry.name)
        if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(base):
            return False
        return entry.is_dir() or entry.is_file()
    except (SandboxError, OSError):
        return False
