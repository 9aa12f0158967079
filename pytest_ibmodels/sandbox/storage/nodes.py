"""Nodes of the drive: what is at a path, and what the operating system says of it in a sentence."""

import errno
import os
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pytest_ibmodels.sandbox.errors import SandboxError, refusal
from pytest_ibmodels.sandbox.storage.paths import DrivePath


@dataclass(frozen=True)
class NodeInfo:
    """``size`` in bytes, for files; ``modified`` in Unix seconds."""

    path: DrivePath
    type: Literal["file", "folder"]
    modified: float
    size: int | None = None


def node_of(path: DrivePath, found: os.stat_result) -> NodeInfo:
    """The node that the operating system describes.

    Raises:
        SandboxError: it is a pipe, a socket or the like.
    """
    if stat.S_ISDIR(found.st_mode):
        return NodeInfo(path, "folder", found.st_mtime)
    if stat.S_ISREG(found.st_mode):
        return NodeInfo(path, "file", found.st_mtime, found.st_size)
    msg = f"'{path}' is neither a file nor a folder"
    raise SandboxError(msg)


@contextmanager
def reported(path: DrivePath, verb: str) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence without paths of this machine."""
    try:
        yield
    except FileExistsError:
        msg = f"'{path}' exists already (if_exists 'overwrite' would replace a file)"
        raise SandboxError(msg) from None
    except OSError as error:
        if error.errno == errno.ENOTEMPTY and verb == "delete":
            msg = f"the folder '{path}' is not empty; delete it with force"
            raise SandboxError(msg) from None
        if isinstance(error, FileNotFoundError | NotADirectoryError) and verb in {"copy", "delete", "list", "read"}:
            # It was there a moment ago.
            msg = f"'{path}' does not exist"
            raise SandboxError(msg) from None
        # What shutil collects over a tree has no reason of its own, and names paths of this machine.
        reason = "not all of its files can be" if isinstance(error, shutil.Error) else None
        raise refusal(f"could not {verb} '{path}'", error, reason) from error


def is_at(file: BinaryIO, local: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), local.stat())
    except FileNotFoundError:
        return False


def composed(name: str) -> str:
    """The name with each accent and its letter as one character, where Unicode has one: NFC."""
    return unicodedata.normalize("NFC", name)


def not_copied(folder: str, names: list[str]) -> list[str]:
    """Of the names in a folder those of links, pipes and the like; an ``ignore`` of :func:`shutil.copytree`."""
    return [name for name in names if not _is_plain(Path(folder, name))]


def _is_plain(local: Path) -> bool:
    with suppress(FileNotFoundError):
        mode = local.lstat().st_mode
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return False
