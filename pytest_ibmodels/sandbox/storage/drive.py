"""The drive: files below one local folder, with read-only mounts among them (Instabase protocol, "Drives").

Job processes use it too, so importing it is cheap. All methods block.
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
from typing import BinaryIO, Literal, Self

from pytest_ibmodels.sandbox.errors import SandboxError, refusal
from pytest_ibmodels.sandbox.storage.listings import Listings
from pytest_ibmodels.sandbox.storage.locks import PathLocks
from pytest_ibmodels.sandbox.storage.mounts import Mount
from pytest_ibmodels.sandbox.storage.nodes import NodeInfo, is_at, nfc, node_of, special_files, translate_os_errors
from pytest_ibmodels.sandbox.storage.paths import ROOT_DEPTH, DrivePath

PAGE_SIZE = 1000


@dataclass(frozen=True)
class _Location:
    """Local path of a drive path, inside the folder ``base``; ``mount`` is None where the drive is writable."""

    local: Path
    base: Path
    mount: Mount | None


class Drive:
    """The files of a tenant.

    ``root`` holds ``OWNER/REPO/fs/DRIVE/...`` as plain folders. ``scratch`` is on the same file system, so that one
    rename puts a finished file or folder in place, whole or not at all.

    Every method raises :class:`SandboxError` if the path is refused or the node is not of the needed type.
    """

    def __init__(self, root: Path, scratch: Path, mounts: Sequence[Mount] = (), locks: PathLocks | None = None) -> None:
        self.root = root.resolve()
        self.scratch = scratch
        self.mounts = tuple(mounts)
        self.locks = locks or PathLocks()
        self._listings = Listings()

    def __reduce__(self) -> tuple[type[Self], tuple[Path, Path, tuple[Mount, ...], PathLocks]]:
        """Pickle for a job process."""
        return type(self), (self.root, self.scratch, self.mounts, self.locks)

    # --- reading ---

    def info(self, path: DrivePath) -> NodeInfo | None:
        """Type, size and time of the node at ``path``; None if there is none."""
        return self._info(path, self._locate(path).local)

    def _info(self, path: DrivePath, local: Path) -> NodeInfo | None:
        try:
            found = local.stat()
        except (FileNotFoundError, NotADirectoryError):
            return NodeInfo(path, "folder", 0.0) if self._mounts_below(path) else None
        except OSError as error:
            # For example, a link to itself.
            raise refusal(f"could not read '{path}'", error) from error
        return node_of(path, found)

    def open(self, path: DrivePath) -> BinaryIO:
        """Open a file to read; replacing the file does not change the open one."""
        local = self._locate(path).local
        self._check_type(path, local, "file")
        with translate_os_errors(path, "read"):
            return local.open("rb")

    def read(self, path: DrivePath) -> bytes:
        with self.open(path) as file:
            return file.read()

    def names(self, path: DrivePath) -> list[str]:
        """Sorted names in a folder, including mounts; :meth:`Listings.names` says which are left out."""
        location = self._locate(path)
        self._check_type(path, location.local, "folder")
        mounts = {mount.at.parts[len(path.parts)] for mount in self._mounts_below(path)}
        if not location.local.is_dir():
            return sorted(mounts)
        with translate_os_errors(path, "list"):
            names = self._listings.names(path, location.local, location.base)
        return sorted({*names, *mounts}) if mounts else names

    def page(self, path: DrivePath, after: str) -> tuple[list[NodeInfo], str]:
        """One page of a folder, from the first name after ``after``, and the token of the next page ('' if none)."""
        names = self.names(path)
        first = bisect_right(names, after)
        end = first + PAGE_SIZE
        local = self._locate(path).local
        infos = (self._entry(path.entry(name), f"{local}/{name}") for name in names[first:end])
        return [info for info in infos if info is not None], names[end - 1] if len(names) > end else ""

    def _entry(self, path: DrivePath, local: str) -> NodeInfo | None:
        """An entry of a listed folder; None if it is gone by now, or no longer a file or folder."""
        try:
            found = os.lstat(local)
            return self.info(path) if stat.S_ISLNK(found.st_mode) else node_of(path, found)
        except FileNotFoundError:
            return self.info(path)  # a mount, or deleted meanwhile
        except (SandboxError, OSError):
            return None

    def local_folder(self, path: DrivePath) -> Path:
        """Local path of a folder, for code that runs or is loaded from it."""
        local = self._locate(path).local
        self._check_type(path, local, "folder")
        return local

    def _check_type(self, path: DrivePath, local: Path, expected: Literal["file", "folder"]) -> None:
        info = self._info(path, local)
        if info is None:
            raise self._missing(path, f"the {expected} ")
        if info.type != expected:
            raise SandboxError(f"'{path}' is a {info.type}, not a {expected}")

    # --- writing ---

    def new_scratch(self) -> Path:
        """New path on the drive's file system, for a file or folder that is put into the drive when complete."""
        return self.scratch / uuid.uuid4().hex

    def write(self, path: DrivePath, data: bytes) -> None:
        """Write a whole file, replacing one at ``path``; parents are made."""
        with self._scratch(path, "write") as upload:
            upload.write_bytes(data)
            self.put(path, upload, overwrite=True)

    def put(self, path: DrivePath, upload: Path, *, overwrite: bool) -> None:
        """Move the complete file ``upload`` to ``path``; parents are made. ``upload`` is removed in any case."""
        try:
            with self._changing(path):
                self._put(path, upload, overwrite=overwrite)
        finally:
            upload.unlink(missing_ok=True)

    def _put(self, path: DrivePath, upload: Path, *, overwrite: bool) -> None:
        local = self._writable_file(path)
        with translate_os_errors(path, "write"):
            local.parent.mkdir(parents=True, exist_ok=True)
            if overwrite:
                upload.replace(local)
            else:
                # A link, unlike a rename, fails if the name is taken.
                local.hardlink_to(upload)

    def patch(self, path: DrivePath, upload: Path, cursor: int) -> None:
        """Write ``upload`` into an existing file at byte ``cursor``; ``upload`` is removed in any case.

        A copy is changed and put in place, so that readers see all of the change or nothing. In a file that does not
        exist yet, ``cursor`` may be 1, as some clients count from one (Instabase protocol, "Drives").
        """
        try:
            with self._changing(path):
                while not self._try_patch(path, upload, cursor):
                    pass  # A job process, which does not share these locks, wrote the file meanwhile.
        finally:
            upload.unlink(missing_ok=True)

    def _try_patch(self, path: DrivePath, upload: Path, cursor: int) -> bool:
        local = self._writable(path)
        if cursor == 1 and not local.exists():
            self._put(path, upload, overwrite=False)
            return True
        size = local.stat().st_size if local.is_file() else 0
        if not 0 <= cursor <= size:
            raise SandboxError(f"cannot write '{path}' at byte {cursor}: the file has {size} bytes")
        # While the original is open, no other file can have its inode number.
        with self._scratch(path, "write") as changed, local.open("rb") as original:
            shutil.copyfile(local, changed)
            with changed.open("r+b") as target, upload.open("rb") as source:
                target.seek(cursor)
                shutil.copyfileobj(source, target)
            if not is_at(original, local):
                return False
            self._put(path, changed, overwrite=True)
        return True

    def make_folder(self, path: DrivePath) -> None:
        """Make a folder and its parents; an existing one stays as it is."""
        with self._changing(path), translate_os_errors(path, "make"):
            self._writable(path, drive_itself=True).mkdir(parents=True, exist_ok=True)

    def delete(self, path: DrivePath, *, force: bool) -> None:
        """Delete a file or folder; ``force`` is needed for a folder that is not empty."""
        trash = self.new_scratch()
        with self._changing(path):
            local = self._writable(path, follow=False)
            if not os.path.lexists(local):
                raise self._missing(path)
            with translate_os_errors(path, "delete"):
                if not local.is_dir() or local.is_symlink():
                    local.unlink()
                elif force:
                    local.rename(trash)
                else:
                    # Atomic: the system refuses if the folder has an entry.
                    local.rmdir()
        if trash.exists():
            with translate_os_errors(path, "delete"):
                shutil.rmtree(trash)

    def copy(self, source: DrivePath, target: DrivePath) -> None:
        """Copy a file, replacing one at ``target``, or a folder, where nothing may be at ``target``."""
        info = self._check_transfer(source, target)
        local = self._locate(source).local
        with self._scratch(source, "copy") as copied:
            if info.type == "file":
                shutil.copyfile(local, copied)
            else:
                shutil.copytree(local, copied, ignore=special_files)
            with self._changing(target):
                self._move_into_place(copied, target, info.type)

    def move(self, source: DrivePath, target: DrivePath) -> None:
        """Move a file, replacing one at ``target``, or a folder, where nothing may be at ``target``."""
        with self._changing(source, target):
            info = self._check_transfer(source, target)
            self._move_into_place(self._writable(source), target, info.type)

    def merge(self, folder: Path, target: DrivePath) -> None:
        """Move all files below the local ``folder`` into ``target``, replacing files of the same names."""
        self.make_folder(target)
        items = [(target.joined(*item.relative_to(folder).parts), item) for item in sorted(folder.rglob("*"))]
        files = [(path, item) for path, item in items if not item.is_dir()]
        for path, _item in files:
            self._writable_file(path)
        for path, item in items:
            if item.is_dir():
                self.make_folder(path)
        for path, item in files:
            self.put(path, item, overwrite=True)

    # --- local paths ---

    def _locate(self, path: DrivePath, *, follow: bool = True) -> _Location:
        mount = next((mount for mount in self.mounts if path.starts_with(mount.at)), None)
        base = mount.folder() if mount else self.root
        rest = path.parts[len(mount.at.parts) :] if mount else path.parts
        local = base.joinpath(*rest)
        inside = Path(os.path.realpath(local if follow else local.parent))
        if not inside.is_relative_to(base):
            raise SandboxError(f"'{path}' is refused: a symbolic link leads out of the drive")
        return _Location(local, base, mount)

    @contextmanager
    def _changing(self, *paths: DrivePath) -> Iterator[None]:
        """Lock these paths, with links in their parents resolved, against other changes."""
        found = [self._locate(path, follow=False).local for path in paths]
        with self.locks.hold(*(Path(os.path.realpath(local.parent), local.name) for local in found)):
            yield

    def _writable(self, path: DrivePath, *, follow: bool = True, drive_itself: bool = False) -> Path:
        if len(path.parts) < ROOT_DEPTH + (1 if drive_itself else 2):
            raise SandboxError(f"'{path}' cannot be changed: expected a path inside a drive, OWNER/REPO/fs/DRIVE/PATH")
        location = self._locate(path, follow=follow)
        if location.mount is not None:
            raise SandboxError(
                f"'{path}' cannot be changed: it lies in '{location.mount.at}', a folder mounted read-only"
            )
        mounts = self._mounts_below(path)
        if mounts and not drive_itself:
            raise SandboxError(f"'{path}' cannot be changed: it holds '{mounts[0].at}', a folder mounted read-only")
        if not location.local.parent.is_dir():
            self._refuse_file_above(path)
        return location.local

    def _writable_file(self, path: DrivePath) -> Path:
        local = self._writable(path)
        if local.is_dir():
            raise SandboxError(f"'{path}' is a folder; a file cannot take its place")
        return local

    def _refuse_file_above(self, path: DrivePath) -> None:
        for depth in range(ROOT_DEPTH + 1, len(path.parts)):
            above = DrivePath(path.parts[:depth])
            if self._locate(above).local.is_file():
                raise SandboxError(f"'{path}' cannot be changed: '{above}' is a file, not a folder")

    def _mounts_below(self, path: DrivePath) -> list[Mount]:
        return [mount for mount in self.mounts if mount.at.starts_with(path) and mount.at != path]

    def _check_transfer(self, source: DrivePath, target: DrivePath) -> NodeInfo:
        info = self.info(source)
        if info is None:
            raise self._missing(source)
        if mounts := self._mounts_below(source):
            raise SandboxError(f"'{source}' cannot be copied or moved: it holds '{mounts[0].at}', a mounted folder")
        if target.starts_with(source):
            raise SandboxError(f"'{source}' cannot be copied or moved to '{target}', which is itself or lies inside it")
        at_target = self.info(target)
        if at_target is not None and (info.type == "folder" or at_target.type == "folder"):
            raise SandboxError(f"'{target}' exists already")
        self._writable(target)
        return info

    def _missing(self, path: DrivePath, kind: str = "") -> SandboxError:
        return SandboxError(f"{kind}'{path}' does not exist{self._twin(path)}")

    def _twin(self, path: DrivePath) -> str:
        """Hint at an existing name that looks the same: Unicode has two ways to write an accent."""
        above = DrivePath(path.parts[:1])
        for part in () if str(path).isascii() else path.parts[1:]:
            folder, above = above, DrivePath((*above.parts, part))
            if self.info(above) is None:
                names = self.names(folder) if self.info(folder) else []
                alike = [name for name in names if nfc(name) == nfc(part)]
                return f"; there is a {alike[0]!a}, which looks the same but is another name" if alike else ""
        return ""

    @contextmanager
    def _scratch(self, path: DrivePath, verb: str) -> Iterator[Path]:
        """New scratch path, which is removed at the end if it was not put in place."""
        scratch = self.new_scratch()
        try:
            with translate_os_errors(path, verb):
                yield scratch
        finally:
            if scratch.is_dir():
                shutil.rmtree(scratch, ignore_errors=True)
            else:
                scratch.unlink(missing_ok=True)

    def _move_into_place(self, local: Path, target: DrivePath, kind: str) -> None:
        if kind == "file":
            self._put(target, local, overwrite=True)
            return
        destination = self._writable(target)
        if os.path.lexists(destination):
            raise SandboxError(f"'{target}' exists already")
        with translate_os_errors(target, "write"):
            destination.parent.mkdir(parents=True, exist_ok=True)
            local.rename(destination)
