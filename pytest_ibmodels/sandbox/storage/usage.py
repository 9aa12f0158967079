"""Disk space: what is free, and what folders use."""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SHORT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Disk:
    """Space of a disk, in bytes."""

    total: int
    free: int

    @property
    def is_short(self) -> bool:
        """Whether a training may soon find no space."""
        return self.free < _SHORT_BYTES


@dataclass(frozen=True)
class Used:
    """Space that the files of a folder use.

    Attributes:
        bytes: Sum of their sizes.
        is_complete: Whether all files were counted in the time allowed.
    """

    bytes: int
    is_complete: bool


def disk_of(folder: Path) -> Disk:
    """Return the space of the disk that has a folder."""
    found = shutil.disk_usage(folder)
    return Disk(found.total, found.free)


def used_below(folders: Mapping[str, Path], seconds: float) -> dict[str, Used]:
    """Return the space that each folder, or file, uses.

    Args:
        folders: Name → folder; one that does not exist uses nothing.
        seconds: Time allowed for each.
    """
    return {name: _used(folder, time.monotonic() + seconds) for name, folder in folders.items()}


def _used(folder: Path, deadline: float) -> Used:
    total, waiting = 0, [str(folder)]
    while waiting:
        if time.monotonic() > deadline:
            return Used(total, is_complete=False)
        path = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except NotADirectoryError:
            total += Path(path).stat().st_size
        except OSError:
            # Deleted meanwhile.
            continue
    return Used(total, is_complete=True)
