"""Atomic changes in a folder: symbolic links that are replaced, and a folder exchanged for one."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def point(link: Path, target: str, scratch: Path) -> None:
    """Let `link` point to `target`; whoever reads it sees the old target or the new one.

    Args:
        link: a symbolic link, or nothing yet.
        target: what is written into it, relative to its own folder.
        scratch: a place on the same file system for the new link until it is moved; what is there is removed.

    Raises:
        OSError: `link` is a real folder, or nothing can be written there.
    """
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(target)
    scratch.replace(link)


def exchange(first: Path, second: Path) -> None:
    """Exchange two entries of one file system in a single step (renameat2(2), RENAME_EXCHANGE).

    Raises:
        OSError: the system or the file system cannot do it; nothing was changed.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("This system cannot exchange two folders in one step.")
    library = ctypes.CDLL(None, use_errno=True)
    renameat2 = getattr(library, "renameat2", None)
    if renameat2 is None:
        raise OSError("This C library has no renameat2.")
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(first), None, str(second))


def sync(folder: Path) -> None:
    """Bring all files below a folder to the disk, so that a power cut after the rename finds them whole."""
    for entry in [*folder.rglob("*"), folder]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
