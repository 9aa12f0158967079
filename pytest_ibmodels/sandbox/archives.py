"""Unpacking of uploaded zips: everything is checked before anything arrives in the drive."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from pytest_ibmodels.sandbox.drive import Drive
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.paths import DrivePath

_MAX_ENTRIES = 100_000


def unzip(drive: Drive, archive: DrivePath, destination: DrivePath, *, max_bytes: int) -> None:
    """Extract ``archive`` over what is in ``destination``, which is made if it is missing (protocol section 2.9).

    Raises:
        SandboxError: if it is no zip, is damaged or encrypted, unpacks to more than ``max_bytes``, or has an entry
            that would land outside of ``destination``; nothing was written then.
    """
    staging = drive.new_scratch()
    try:
        with drive.open(archive) as file, zipfile.ZipFile(file) as zipped:
            entries = zipped.infolist()
            _check(entries, archive, destination, max_bytes)
            staging.mkdir()
            for entry in entries:
                _extract(zipped, entry, staging)
        drive.merge(staging, destination)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        msg = f"'{archive}' could not be unpacked, nothing was written: {error}"
        raise SandboxError(msg) from error
    except OSError as error:
        msg = f"'{archive}' could not be unpacked to '{destination}': {error.strerror or error}"
        raise SandboxError(msg) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check(entries: list[zipfile.ZipInfo], archive: DrivePath, destination: DrivePath, max_bytes: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes or len(entries) > _MAX_ENTRIES:
        msg = (
            f"'{archive}' is refused, nothing was written: it would unpack to {len(entries)} entries of "
            f"{total / 2**20:.0f} MiB; the limits are {_MAX_ENTRIES} and {max_bytes / 2**20:.0f} MiB"
        )
        raise SandboxError(msg)
    for entry in entries:
        reason = _refusal(entry, destination)
        if reason:
            msg = f"'{archive}' is refused, nothing was written: its entry {entry.orig_filename[:200]!r} {reason}"
            raise SandboxError(msg)


def _refusal(entry: zipfile.ZipInfo, destination: DrivePath) -> str | None:
    # The name as it stands in the archive: zipfile cuts it at a NUL and rewrites separators.
    name = entry.orig_filename
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "has an absolute name"
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
        shutil.copyfileobj(source, file)
