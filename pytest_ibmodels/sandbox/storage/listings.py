"""Names of a local folder that the drive shows, cached for paging."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.storage.paths import DrivePath

_CACHE_SECONDS = 10.0
_MAX_CACHED = 8
_SETTLED_NS = 200_000_000
"""Two changes of a folder within this time may leave the same modification time."""


@dataclass(frozen=True)
class _Listing:
    state: tuple[int, int, int]
    read: float
    names: list[str]


class Listings:
    """Sorted names in folders, cached so that paging reads a folder from disk once."""

    def __init__(self) -> None:
        self._cached: dict[Path, _Listing] = {}
        self._changing = threading.Lock()

    def names(self, path: DrivePath, local: Path, base: Path) -> list[str]:
        """Sorted names in ``local``, a folder in ``base``; the caller must not change the list.

        Left out are names that no request can contain, entries that are neither file nor folder, and links that are
        broken or lead out of ``base``.
        """
        found = local.stat()
        state = (found.st_dev, found.st_ino, found.st_mtime_ns)
        cached = self._cached.get(local)
        if cached is not None and cached.state == state and time.monotonic() - cached.read < _CACHE_SECONDS:
            return cached.names
        is_settled = time.time_ns() - found.st_mtime_ns > _SETTLED_NS
        with os.scandir(local) as entries:
            names = sorted(entry.name for entry in entries if _is_shown(entry, path, base))
        if is_settled:
            self._cache(local, _Listing(state, time.monotonic(), names))
        return names

    def _cache(self, local: Path, listing: _Listing) -> None:
        with self._changing:
            young = listing.read - _CACHE_SECONDS
            others = [(key, other) for key, other in self._cached.items() if other.read > young and key != local]
            self._cached = dict([*others[1 - _MAX_CACHED :], (local, listing)])


def _is_shown(entry: os.DirEntry[str], folder: DrivePath, base: Path) -> bool:
    try:
        folder.joined(entry.name)
        if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(base):
            return False
        return entry.is_dir() or entry.is_file()
    except (SandboxError, OSError):
        return False
