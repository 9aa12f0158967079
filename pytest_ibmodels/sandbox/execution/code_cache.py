"""Pushed code by digest: packed once below the data folder, unpacked once on each machine.

So a job that waits, or starts again on another machine, runs the code that was pushed before it.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.job_spec import CodeSpec

_IGNORED = ("__pycache__",)
_TIME = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a zip: equal code makes equal zips."""


def pack_code(packages: Iterable[Path], root: Path) -> CodeSpec:
    """Pack folders as one zip below ``root``, unless it is there.

    Raises:
        OSError: A file cannot be read or written.
    """
    folders = tuple(packages)
    files = [(file, str(Path(folder.name) / file.relative_to(folder))) for folder in folders for file in _files(folder)]
    digest = hashlib.sha256()
    for file, name in files:
        content = file.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    key = digest.hexdigest()[:32]
    archive = root / f"{key}.zip"
    if archive.exists():
        # Its time is that of the last use.
        os.utime(archive)
    else:
        root.mkdir(parents=True, exist_ok=True)
        _pack(files, archive)
    return CodeSpec(packages=tuple(Path(folder.name) for folder in folders), archive=archive, digest=key)


def remove_old_archives(root: Path, before: float) -> None:
    """Remove zips that no job was given since a time, in seconds since 1970."""
    for archive in root.glob("*.zip") if root.is_dir() else ():
        try:
            if archive.stat().st_mtime < before:
                archive.unlink()
        except FileNotFoundError:
            continue


class CodeCache:
    """Folder of this machine with unpacked code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unpacking = threading.Lock()

    def open(self, code: CodeSpec) -> tuple[Path, ...]:
        """Return the folders of the packages, unpacked if they come in a zip.

        Raises:
            SandboxError: The zip is missing.
            OSError: It cannot be unpacked.
        """
        if code.archive is None:
            return code.packages
        target = self._folder / code.digest
        with self._unpacking:
            if not target.is_dir():
                self._unpack(code.archive, target)
            os.utime(target)
        return tuple(target / package for package in code.packages)

    def remove_unused(self, seconds: float) -> None:
        """Remove code that no job was given for so long."""
        with self._unpacking:
            for folder in self._folder.iterdir() if self._folder.is_dir() else ():
                if time.time() - folder.stat().st_mtime > seconds:
                    shutil.rmtree(folder, ignore_errors=True)

    def _unpack(self, archive: Path, target: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        trial = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            with zipfile.ZipFile(archive) as file:
                file.extractall(trial)
            trial.rename(target)
        except FileNotFoundError as error:
            raise SandboxError("the job's code is no longer in the data folder; push it again") from error
        finally:
            shutil.rmtree(trial, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """Return the files below a folder, sorted, without Python's caches."""
    found = (file for file in folder.rglob("*") if not set(_IGNORED) & set(file.relative_to(folder).parts))
    return iter(sorted(file for file in found if file.is_file()))


def _pack(files: list[tuple[Path, str]], archive: Path) -> None:
    number, name = tempfile.mkstemp(dir=archive.parent, suffix=".part")
    try:
        with os.fdopen(number, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
            for path, entry in files:
                file.writestr(zipfile.ZipInfo(entry, _TIME), path.read_bytes(), zipfile.ZIP_DEFLATED, 1)
        Path(name).replace(archive)
    finally:
        Path(name).unlink(missing_ok=True)
