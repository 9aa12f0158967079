"""Local data of a model test: a file or a folder, identified by its content."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ibmodels.packaging.archive import is_left_out, shown, zip_entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK = 1 << 20


class DataError(Exception):
    """The data cannot be read; the message names the path, the reason, and what to do."""


@dataclass(frozen=True)
class LocalData:
    """A local file or folder to upload.

    Attributes:
        name: name of the file or folder.
        files: name below the folder, with ``/`` -> path; a file alone has its own name.
        is_folder: whether it is a folder.
        content_hash: SHA-256 of name, names and contents, in hexadecimal.
    """

    name: str
    files: Mapping[str, Path]
    is_folder: bool
    content_hash: str

    def zipped(self) -> bytes:
        """Zip the files below the name.

        Raises:
            DataError: A file cannot be read.
        """
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, path in self.files.items():
                archive.writestr(zip_entry(f"{self.name}/{name}"), _read(path))
        return buffer.getvalue()

    def content(self) -> bytes:
        """Content of a file alone. Raises: DataError."""
        (path,) = self.files.values()
        return _read(path)


def read_data(path: Path) -> LocalData:
    """List and hash a file, or the files of a folder without hidden files, caches, and files of tokens and keys.

    Unlike a package, data may be ignored by git.

    Raises:
        DataError: The path does not exist, holds no file, or cannot be read.
    """
    if path.is_dir():
        files = dict(sorted((file.relative_to(path).as_posix(), file) for file in _below(path)))
    elif path.is_file():
        files = {path.name: path}
    else:
        raise DataError(f"{shown(path)}: no such file or folder: correct the path, or make the data first")
    if not files:
        raise DataError(f"{shown(path)}: this folder has no file to train on")
    digest = hashlib.sha256(f"{path.name}\0{path.is_dir()}\0".encode("utf-8", "surrogateescape"))
    for name, file in files.items():
        digest.update(f"{name}\0".encode("utf-8", "surrogateescape"))
        digest.update(_hash(file))
    return LocalData(path.name, files, path.is_dir(), digest.hexdigest())


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_left_out(Path(name)))
        yield from (
            Path(parent, name) for name in names if not is_left_out(Path(name)) and Path(parent, name).is_file()
        )


def _hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(path, error) from None
    return digest.digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{shown(path)}: cannot be read: {error.strerror or error}")
