"""Nodes of the drive, and errors of the operating system as messages."""

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
    """A file or folder; ``size`` in bytes, None for folders, ``modified`` in Unix seconds."""

    path: DrivePath
    type: Literal["file", "folder"]
    modified: float
    size: int | None = None


def node_of(path: DrivePath, found: os.stat_result) -> NodeInfo:
    """Node at ``path`` from its status.

    Raises:
        SandboxError: it is neither a file nor a folder.
    """
    if stat.S_ISDIR(found.st_mode):
        return NodeInfo(path, "folder", found.st_mtime)
    if stat.S_ISREG(found.st_mode):
        return NodeInfo(path, "file", found.st_mtime, found.st_size)
    raise SandboxError(f"'{path}' is neither a file nor a folder")


@contextmanager
def translate_os_errors(path: DrivePath, verb: str) -> Iterator[None]:
    """Turn errors of the operating system into :class:`SandboxError`, without paths of this machine."""
    try:
        yield
    except FileExistsError:
        raise SandboxError(f"'{path}' exists already (if_exists 'overwrite' would replace a file)") from None
    except OSError as error:
        if error.errno == errno.ENOTEMPTY and verb == "delete":
            raise SandboxError(f"the folder '{path}' is not empty; delete it with force") from None
        if isinstance(error, FileNotFoundError | NotADirectoryError) and verb in {"copy", "delete", "list", "read"}:
            # It existed a moment ago.
            raise SandboxError(f"'{path}' does not exist") from None
        # shutil.Error collects the errors of a tree, and names paths of this machine.
        reason = "not all of its files can be" if isinstance(error, shutil.Error) else None
        raise refusal(f"could not {verb} '{path}'", error, reason) from error


def is_at(file: BinaryIO, local: Path) -> bool:
    """Return whether ``local`` still names the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), local.stat())
    except FileNotFoundError:
        return False


def nfc(name: str) -> str:
    """Name in Unicode normalization form C: a letter and its accent as one character."""
    return unicodedata.normalize("NFC", name)


def special_files(folder: str, names: list[str]) -> list[str]:
    """Names of links, pipes and the like in a folder, as ``ignore`` of :func:`shutil.copytree`."""
    return [name for name in names if not _is_regular(Path(folder, name))]


def _is_regular(local: Path) -> bool:
    with suppress(FileNotFoundError):
        mode = local.lstat().st_mode
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return False
