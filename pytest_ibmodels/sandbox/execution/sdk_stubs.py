"""Stubs of the platform's SDK for pushed code: file client and model request.

Instabase protocol, "Training jobs" and "Model service".
"""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Literal

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.lease import Lease
from pytest_ibmodels.sandbox.storage.archives import unzip
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath

USERNAME = "sandbox"
"""User name that pushed code gets."""


class FileClient:
    """Files of the drive, for pushed code. All paths are drive paths.

    ``file_client`` is None: the original training code then uses this object itself as the SDK.
    """

    def __init__(self, drive: Drive, username: str, max_unzipped: int, lease: Lease | None = None) -> None:
        """Make a client; one with a ``lease`` writes only until it expires."""
        self.file_client = None
        self._lease = lease
        self.username = username
        self._drive = drive
        self._max_unzipped = max_unzipped

    def read_file(self, path: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        return self._drive.read(self._existing(path, "file"))

    def write_file(self, path: str, data: bytes | str) -> None:
        """Write or replace a file; missing folders are created.

        Raises:
            PermissionError: The path cannot be written.
        """
        self._check_lease()
        try:
            self._drive.write(DrivePath.parse(path), data.encode() if isinstance(data, str) else data)
        except SandboxError as error:
            raise PermissionError(str(error)) from None

    @contextmanager
    def ibopen(self, path: str, mode: str = "r") -> Iterator[IO[Any]]:
        """Open a file in mode ``r``, ``rb``, ``w`` or ``wb``; it is written when it is closed."""
        if mode not in {"r", "rb", "w", "wb"}:
            msg = f"mode {mode!r} of {path!r}: expected 'r', 'rb', 'w' or 'wb'"
            raise ValueError(msg)
        raw = io.BytesIO(self.read_file(path) if mode.startswith("r") else b"")
        file: IO[Any] = raw if mode.endswith("b") else io.TextIOWrapper(raw, encoding="utf-8", newline="")
        yield file
        if mode.startswith("w"):
            file.flush()
            self.write_file(path, raw.getvalue())

    def unzip(self, path: str, dest: str, remove: bool = False) -> None:
        """Unpack the zip ``path`` into the folder ``dest``, then delete the zip if ``remove`` is set."""
        self._check_lease()
        unzip(self._drive, DrivePath.parse(path), DrivePath.parse(dest), max_bytes=self._max_unzipped)
        if remove:
            self._drive.delete(DrivePath.parse(path), force=False)

    def exists(self, path: str) -> bool:
        try:
            return self._drive.info(DrivePath.parse(path)) is not None
        except SandboxError:
            return False

    def list_dir(self, path: str) -> list[str]:
        """List the names in a folder, sorted.

        Raises:
            FileNotFoundError: There is no such folder.
        """
        return self._drive.names(self._existing(path, "folder"))

    def _check_lease(self) -> None:
        if self._lease is not None and self._lease.has_expired:
            raise PermissionError("this machine has lost the cluster: the job may run on another one, and cannot write")

    def _existing(self, path: str, kind: Literal["file", "folder"]) -> DrivePath:
        """Parse the path of an existing node; an invalid path counts as missing."""
        try:
            parsed = DrivePath.parse(path)
            info = self._drive.info(parsed)
        except SandboxError as error:
            raise FileNotFoundError(errno.ENOENT, str(error), path) from None
        if info is None or info.type != kind:
            raise FileNotFoundError(errno.ENOENT, f"No such {kind} in the drive", path)
        return parsed


@dataclass(frozen=True)
class RawData:
    """Document of a model request; ``data`` is the JSON text of a list with one record."""

    type: str
    data: bytes


@dataclass(frozen=True)
class RequestContext:
    username: str


@dataclass(frozen=True)
class ModelRequest:
    """Argument of a model's ``run``; ``input_path`` is the drive path of the document."""

    model_name: str
    input_path: str
    input_raw_data: RawData | None
    context: RequestContext
