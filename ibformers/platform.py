"""Clients that an environment passes to the training code (Instabase protocol, "Training jobs")."""

from __future__ import annotations

from typing import Any, Protocol


class FileClient(Protocol):
    """Client of drive files. Paths have no leading slash: `OWNER/REPO/fs/DRIVE/folder/name`."""

    def read_file(self, path: str) -> bytes:
        """Return the content of a file. Raises FileNotFoundError or another OSError if it cannot be read."""
        ...

    def write_file(self, path: str, data: bytes) -> Any:
        """Write a file and its parent folders; replace an existing file."""
        ...


class JobMetadataClient(Protocol):
    """Client that reports the progress of a job."""

    def update_metadata(self, metadata: dict[str, Any]) -> Any:
        """Replace the metadata of the job; `metadata` must be serialisable as JSON."""
        ...

    def update_message(self, message: str) -> Any:
        """Replace the status message of the job, one line."""
        ...
