"""Zips: all entries are checked before any is written, and equal folders give equal zips."""

import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pytest_ibmodels.sandbox.errors import SandboxError, refusal
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath

_MAX_ENTRIES = 100_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can store
_FAST = 1  # weights hardly shrink at higher levels


def unzip(drive: Drive, archive: DrivePath, destination: DrivePath, *, max_bytes: int) -> None:
    """Extract ``archive`` into ``destination``, which is made if missing (Instabase protocol, "Drives").

    Raises:
        SandboxError: it is not a zip, is damaged or encrypted, unpacks to more than ``max_bytes``, or has an entry
            outside of ``destination``. Nothing is written then.
    """
    staging = drive.new_scratch()
    try:
        with drive.open(archive) as file:
            extract(file, staging, archive, destination, max_bytes=max_bytes)
        with translate_zip_errors(archive):
            drive.merge(staging, destination)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def extract(file: BinaryIO, folder: Path, archive: DrivePath, destination: DrivePath, *, max_bytes: int) -> None:
    """Extract a zip to the new local ``folder``, on the way to ``destination``.

    Raises:
        SandboxError: as :func:`unzip`; ``folder`` may be incomplete then.
    """
    with translate_zip_errors(archive), zipfile.ZipFile(file) as zipped:
        entries = zipped.infolist()
        _check(entries, archive, destination, max_bytes)
        folder.mkdir(parents=True)
        for entry in entries:
            _extract(zipped, entry, folder)


def pack(drive: Drive, folder: DrivePath, target: Path) -> None:
    """Zip ``folder`` as the local file ``target``, with sorted names, fixed times and fixed permissions.

    Symbolic links, and entries that a listing leaves out, are not packed.

    Raises:
        SandboxError: the folder does not exist or cannot be read.
    """
    with (
        translate_zip_errors(folder, "packed"),
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=_FAST) as zipped,
    ):
        for path in _files(drive, folder):
            entry = zipfile.ZipInfo("/".join(path.parts[len(folder.parts) :]), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o644 << 16
            # The size is not known ahead, and may exceed the limit of the plain format.
            with drive.open(path) as source, zipped.open(entry, "w", force_zip64=True) as packed:
                shutil.copyfileobj(source, packed)


@contextmanager
def translate_zip_errors(path: DrivePath, done: str = "unpacked") -> Iterator[None]:
    """Turn errors of zips and of the operating system into :class:`SandboxError`."""
    try:
        yield
    except SandboxError:
        raise
    except OSError as error:
        raise refusal(f"'{path}' could not be {done}", error) from error
    # The errors of zipfile for damaged archives are undocumented, and differ between versions.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise SandboxError(f"'{path}' could not be {done}, nothing was written: {reason}") from error


def _files(drive: Drive, folder: DrivePath) -> Iterator[DrivePath]:
    local = drive.local_folder(folder)
    for name in drive.names(folder):
        path = folder.entry(name)
        # A listed entry may be gone by now.
        info = drive.info(path) if not local.joinpath(name).is_symlink() else None
        if info is not None and info.type == "folder":
            yield from _files(drive, path)
        elif info is not None:
            yield path


def _check(entries: list[zipfile.ZipInfo], archive: DrivePath, destination: DrivePath, max_bytes: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes or len(entries) > _MAX_ENTRIES:
        raise SandboxError(
            f"'{archive}' is refused, nothing was written: it would unpack to {len(entries)} entries of "
            f"{total / 2**20:.0f} MiB; the limits are {_MAX_ENTRIES} and {max_bytes / 2**20:.0f} MiB"
        )
    for entry in entries:
        reason = _refusal(entry, destination)
        if reason:
            raise SandboxError(
                f"'{archive}' is refused, nothing was written: its entry {entry.orig_filename[:200]!r} {reason}"
            )


def _refusal(entry: zipfile.ZipInfo, destination: DrivePath) -> str | None:
    # The raw name: zipfile cuts `filename` at a NUL and rewrites separators.
    name = entry.orig_filename
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "has an absolute name"
    if not name.strip("/"):
        return "has an empty name"
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a link or a special file"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    try:
        destination.joined(*name.removesuffix("/").split("/"))
    except SandboxError:
        return "would not land inside the destination, or is no valid name"
    return None


def _extract(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, staging: Path) -> None:
    target = staging.joinpath(*entry.orig_filename.removesuffix("/").split("/"))
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(entry) as source, target.open("wb") as file:
        # zipfile stops at the declared size, so the check of their sum holds.
        shutil.copyfileobj(source, file)
