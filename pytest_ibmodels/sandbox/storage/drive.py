"""The drive: files below one local folder, and read-only mounts shown among them (protocol section 2).

Nothing here knows of HTTP, and importing it is cheap: job processes use it too. All methods block.
"""

import os
import shutil
import stat
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from pytest_ibmodels.sandbox.errors import SandboxError, refusal
from pytest_ibmodels.sandbox.storage.listings import Listings
from pytest_ibmodels.sandbox.storage.locks import PathLocks
from pytest_ibmodels.sandbox.storage.mounts import Mount
from pytest_ibmodels.sandbox.storage.nodes import (
    NodeInfo,
    composed,
    is_at,
    node_of,
    not_copied,
    reported,
)
from pytest_ibmodels.sandbox.storage.paths import ROOT_DEPTH, DrivePath

PAGE_SIZE = 1000


@dataclass(frozen=True)
class _Place:
    """Where a path lies on this machine: in the folder ``base``; ``mount`` if that may only be read."""

    path: DrivePath
    local: Path
    base: Path
    mount: Mount | None


class Drive:
    """The files of a sandbox.

    ``root`` holds ``OWNER/REPO/fs/DRIVE/...`` as plain folders; ``scratch`` is on the same file system, so that a
    finished file or folder arrives by one rename, whole or not at all.

    Every method raises :class:`SandboxError` with a sentence if the path is refused or the node is not as needed.
    """

    def __init__(self, root: Path, scratch: Path, mounts: Sequence[Mount] = ()) -> None:
        self.root = root.resolve()
        self.scratch = scratch
        self.mounts = tuple(mounts)
        self._locks = PathLocks()
        self._listings = Listings()

    def __reduce__(self) -> tuple[type[Self], tuple[Path, Path, tuple[Mount, ...]]]:
        """For the process of a job, which has locks of its own."""
        return type(self), (self.root, self.scratch, self.mounts)

    # --- looking ---

    def info(self, path: DrivePath) -> NodeInfo | None:
        """What is at ``path``, or None."""
        return self._info(path, self._place(path).local)

    def _info(self, path: DrivePath, local: Path) -> NodeInfo | None:
        try:
            found = local.stat()
        except (FileNotFoundError, NotADirectoryError):
            return NodeInfo(path, "folder", 0.0) if self._holds_mount(path) else None
        except OSError as error:
            # Such as a link to itself.
            raise refusal(f"could not look at '{path}'", error) from error
        return node_of(path, found)

    def open(self, path: DrivePath) -> BinaryIO:
        """Open a file to read; it stays whole while it is read, also if it is replaced meanwhile."""
        local = self._place(path).local
        info = self._info(path, local)
        if info is None:
            raise self._missing(path, "the file ")
        if info.type == "folder":
            msg = f"'{path}' is a folder, not a file"
            raise SandboxError(msg)
        with reported(path, "read"):
            return local.open("rb")

    def read(self, path: DrivePath) -> bytes:
        with self.open(path) as file:
            return file.read()

    def names(self, path: DrivePath) -> list[str]:
        """The names in a folder, sorted, mounts among them; see :meth:`Listings.names` for what is left out."""
        place = self._place(path)
        info = self._info(path, place.local)
        if info is None:
            raise self._missing(path, "the folder ")
        if info.type == "file":
            msg = f"'{path}' is a file, not a folder"
            raise SandboxError(msg)
        mounts = {mount.at.parts[len(path.parts)] for mount in self._mounts_below(path)}
        if not place.local.is_dir():
            return sorted(mounts)
        with reported(path, "list"):
            names = self._listings.names(path, place.local, place.base)
        return sorted({*names, *mounts}) if mounts else names

    def page(self, path: DrivePath, after: str) -> tuple[list[NodeInfo], str]:
        """One page of a folder: the nodes whose names come after ``after``, and the token of the next page or ''."""
        names = self.names(path)
        first = bisect_right(names, after)
        end = first + PAGE_SIZE
        local = self._place(path).local
        infos = (self._entry(path.entry(name), f"{local}/{name}") for name in names[first:end])
        return [info for info in infos if info is not None], names[end - 1] if len(names) > end else ""

    def _entry(self, path: DrivePath, local: str) -> NodeInfo | None:
        """An entry of a folder that was listed; None if it has gone, or has become something that is not shown."""
        try:
            found = os.lstat(local)
            return self.info(path) if stat.S_ISLNK(found.st_mode) else node_of(path, found)
        except FileNotFoundError:
            return self.info(path)  # a mount, or nothing any more
        except (SandboxError, OSError):
            return None

    def local_folder(self, path: DrivePath) -> Path:
        """The folder on this machine, for code that is run or loaded from it."""
        local = self._place(path).local
        info = self._info(path, local)
        if info is None:
            raise self._missing(path, "the folder ")
        if info.type != "folder":
            msg = f"'{path}' is a file, not a folder"
            raise SandboxError(msg)
        return local

    # --- changing ---

    def new_scratch(self) -> Path:
        """A fresh name on the drive's file system, for what is to be put into the drive when complete."""
        return self.scratch / uuid.uuid4().hex

    def write(self, path: DrivePath, data: bytes) -> None:
        """Write a whole file, replacing what was there; parents are made."""
        with self._arriving(path, "write") as upload:
            upload.write_bytes(data)
            self.put(path, upload, overwrite=True)

    def put(self, path: DrivePath, upload: Path, *, overwrite: bool) -> None:
        """Move the complete file ``upload`` to ``path``; parents are made. ``upload`` is gone afterwards."""
        try:
            with self._changing(path):
                self._put(path, upload, overwrite=overwrite)
        finally:
            upload.unlink(missing_ok=True)

    def _put(self, path: DrivePath, upload: Path, *, overwrite: bool) -> None:
        local = self._writable(path)
        if local.is_dir():
            msg = f"'{path}' is a folder; a file cannot take its place"
            raise SandboxError(msg)
        with reported(path, "write"):
            local.parent.mkdir(parents=True, exist_ok=True)
            if overwrite:
                upload.replace(local)
            else:
                # A link, unlike a rename, fails if the name was taken meanwhile.
                local.hardlink_to(upload)

    def patch(self, path: DrivePath, upload: Path, cursor: int) -> None:
        """Write ``upload`` into the existing file at byte ``cursor``; ``upload`` is gone afterwards.

        The file is seen as it was, or with all that was to be written: it is changed as a copy. In a file that does
        not exist yet bytes may be counted from one, as some clients do (protocol section 2.2).
        """
        try:
            with self._changing(path):
                while not self._patched(path, upload, cursor):
                    """The process of a job, which these locks do not bind, wrote the file: start anew."""
        finally:
            upload.unlink(missing_ok=True)

    def _patched(self, path: DrivePath, upload: Path, cursor: int) -> bool:
        local = self._writable(path)
        if cursor == 1 and not local.exists():
            self._put(path, upload, overwrite=False)
            return True
        size = local.stat().st_size if local.is_file() else 0
        if not 0 <= cursor <= size:
            msg = f"cannot write '{path}' at byte {cursor}: the file has {size} bytes"
            raise SandboxError(msg)
        # While it is open, no other file can have its number.
        with self._arriving(path, "write") as changed, local.open("rb") as original:
            shutil.copyfile(local, changed)
            with changed.open("r+b") as target, upload.open("rb") as source:
                target.seek(cursor)
                shutil.copyfileobj(source, target)
            if not is_at(original, local):
                return False
            self._put(path, changed, overwrite=True)
        return True

    def make_folder(self, path: DrivePath) -> None:
        """Make a folder and its parents; one that exists is left as it is."""
        with self._changing(path), reported(path, "make"):
            self._writable(path, drive_itself=True).mkdir(parents=True, exist_ok=True)

    def delete(self, path: DrivePath, *, force: bool) -> None:
        """Delete a file or folder; ``force`` is needed for a folder that is not empty."""
        doomed = self.new_scratch()
        with self._changing(path):
            local = self._writable(path, follow=False)
            if not os.path.lexists(local):
                raise self._missing(path)
            with reported(path, "delete"):
                if not local.is_dir() or local.is_symlink():
                    local.unlink()
                elif force:
                    local.rename(doomed)
                else:
                    # One step, which the system refuses if anything has arrived up to that moment.
                    local.rmdir()
        if doomed.exists():
            with reported(path, "delete"):
                shutil.rmtree(doomed)

    def copy(self, source: DrivePath, target: DrivePath) -> None:
        """Copy a file, replacing one at ``target``, or a folder, where nothing may be at ``target``."""
        info = self._transferable(source, target)
        local = self._place(source).local
        with self._arriving(source, "copy") as copied:
            if info.type == "file":
                shutil.copyfile(local, copied)
            else:
                shutil.copytree(local, copied, ignore=not_copied)
            with self._changing(target):
                self._arrive(copied, target, info.type)

    def move(self, source: DrivePath, target: DrivePath) -> None:
        """Move a file, replacing one at ``target``, or a folder, where nothing may be at ``target``."""
        with self._changing(source, target):
            info = self._transferable(source, target)
            self._arrive(self._writable(source), target, info.type)

    def merge(self, folder: Path, target: DrivePath) -> None:
        """Move all files below the local ``folder`` into ``target``, replacing files of the same names."""
        self.make_folder(target)
        files = [item for item in sorted(folder.rglob("*")) if not item.is_dir()]
        places = [target.joined(*item.relative_to(folder).parts) for item in files]
        for place in places:
            self._writable(place)
            info = self.info(place)
            if info is not None and info.type == "folder":
                msg = f"'{place}' is a folder; a file cannot take its place"
                raise SandboxError(msg)
        for item in folder.rglob("*"):
            if item.is_dir():
                self.make_folder(target.joined(*item.relative_to(folder).parts))
        for item, place in zip(files, places, strict=True):
            self.put(place, item, overwrite=True)

    # --- where things are ---

    def _place(self, path: DrivePath, *, follow: bool = True) -> _Place:
        mount = next((mount for mount in self.mounts if path.starts_with(mount.at)), None)
        base = mount.folder() if mount else self.root
        rest = path.parts[len(mount.at.parts) :] if mount else path.parts
        local = base.joinpath(*rest)
        inside = Path(os.path.realpath(local if follow else local.parent))
        if not inside.is_relative_to(base):
            msg = f"'{path}' is refused: a symbolic link leads out of the drive"
            raise SandboxError(msg)
        return _Place(path, local, base, mount)

    @contextmanager
    def _changing(self, *paths: DrivePath) -> Iterator[None]:
        """Wait for other changes of these paths, whichever links lead to them, and hold up those that come."""
        places = [self._place(path, follow=False).local for path in paths]
        with self._locks.hold(*(Path(os.path.realpath(local.parent), local.name) for local in places)):
            yield

    def _writable(self, path: DrivePath, *, follow: bool = True, drive_itself: bool = False) -> Path:
        if len(path.parts) < ROOT_DEPTH + (1 if drive_itself else 2):
            msg = f"'{path}' cannot be changed: expected a path inside a drive, OWNER/REPO/fs/DRIVE/PATH"
            raise SandboxError(msg)
        place = self._place(path, follow=follow)
        if place.mount is not None:
            msg = f"'{path}' cannot be changed: it lies in '{place.mount.at}', a folder mounted read-only"
            raise SandboxError(msg)
        if self._holds_mount(path) and not drive_itself:
            msg = f"'{path}' cannot be changed: it holds '{self._mounts_below(path)[0].at}', a folder mounted read-only"
            raise SandboxError(msg)
        if not place.local.parent.is_dir():
            self._refuse_file_above(path)
        return place.local

    def _refuse_file_above(self, path: DrivePath) -> None:
        for depth in range(ROOT_DEPTH + 1, len(path.parts)):
            above = DrivePath(path.parts[:depth])
            if self._place(above).local.is_file():
                msg = f"'{path}' cannot be changed: '{above}' is a file, not a folder"
                raise SandboxError(msg)

    def _mounts_below(self, path: DrivePath) -> list[Mount]:
        return [mount for mount in self.mounts if mount.at.starts_with(path) and mount.at != path]

    def _holds_mount(self, path: DrivePath) -> bool:
        return bool(self._mounts_below(path))

    def _transferable(self, source: DrivePath, target: DrivePath) -> NodeInfo:
        info = self.info(source)
        if info is None:
            raise self._missing(source)
        if self._holds_mount(source):
            msg = (
                f"'{source}' cannot be copied or moved: it holds '{self._mounts_below(source)[0].at}', a mounted folder"
            )
            raise SandboxError(msg)
        if target.starts_with(source):
            msg = f"'{source}' cannot be copied or moved to '{target}', which is itself or lies inside it"
            raise SandboxError(msg)
        at_target = self.info(target)
        if at_target is not None and (info.type == "folder" or at_target.type == "folder"):
            msg = f"'{target}' exists already"
            raise SandboxError(msg)
        self._writable(target)
        return info

    def _missing(self, path: DrivePath, kind: str = "") -> SandboxError:
        return SandboxError(f"{kind}'{path}' does not exist{self._twin(path)}")

    def _twin(self, path: DrivePath) -> str:
        """Tell of a name that looks like one of ``path``, and is not equal: accents can be written in two ways."""
        above = DrivePath(path.parts[:1])
        for part in () if str(path).isascii() else path.parts[1:]:
            folder, above = above, DrivePath((*above.parts, part))
            if self.info(above) is None:
                names = self.names(folder) if self.info(folder) else []
                alike = [name for name in names if composed(name) == composed(part)]
                return f"; there is a {alike[0]!a}, which looks the same but is another name" if alike else ""
        return ""

    @contextmanager
    def _arriving(self, path: DrivePath, verb: str) -> Iterator[Path]:
        """A scratch name; what is still there at the end, since it did not arrive, goes."""
        scratch = self.new_scratch()
        try:
            with reported(path, verb):
                yield scratch
        finally:
            if scratch.is_dir():
                shutil.rmtree(scratch, ignore_errors=True)
            else:
                scratch.unlink(missing_ok=True)

    def _arrive(self, local: Path, target: DrivePath, kind: str) -> None:
        if kind == "file":
            self._put(target, local, overwrite=True)
            return
        destination = self._writable(target)
        if os.path.lexists(destination):
            msg = f"'{target}' exists already"
            raise SandboxError(msg)
        with reported(target, "write"):
            destination.parent.mkdir(parents=True, exist_ok=True)
            local.rename(destination)
