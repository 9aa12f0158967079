"""What the training code asks of the environment that runs it (the two clients of the entry points)."""

from __future__ import annotations

from typing import Any, Protocol


class FileClient(Protocol):
    """Reads and writes files of a drive. Paths have no leading slash: `OWNER/REPO/fs/DRIVE/folder/name`."""

    def read_file(self, path: str) -> bytes:
        """Return the whole file. Raises FileNotFoundError (or another OSError) when it cannot be read."""
        ...

    def write_file(self, path: str, data: bytes) -> Any:
        """Write the whole file and the folders it lies in; an existing file is replaced."""
        ...


class JobMetadataClient(Protocol):
    """Tells the environment how the job is doing."""

    def update_metadata(self, metadata: dict[str, Any]) -> Any:
        """Replace the metadata of the job by `metadata`, which must be JSON."""
        ...

    def update_message(self, message: str) -> Any:
        """Replace the one-line message of the job."""
        ...
