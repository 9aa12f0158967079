"""Data of an environment's model tests: local data is uploaded once a session, by its content; drives are listed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import ConfigFailure, UploadFailure, as_failure
from pytest_ibmodels.engine.routes.base import DataFiles
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.packaging import DataError, read_data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.packaging import LocalData
    from pytest_ibmodels.spec import DataPath


class EnvironmentData:
    """Data of one environment during one session.

    Args:
        upload: uploads local data into a new folder of the environment, and returns the folder.
        client: returns the environment's client.
    """

    def __init__(
        self, upload: Callable[[LocalData], Awaitable[str]], client: Callable[[], Awaitable[Instabase]]
    ) -> None:
        self._upload = upload
        self._client = client
        self._local: dict[Path, asyncio.Task[LocalData]] = {}
        self._uploads: dict[str, asyncio.Task[str]] = {}

    @property
    def tasks(self) -> list[asyncio.Task[str]]:
        """Uploads that may still run."""
        return list(self._uploads.values())

    async def marker(self, local: Path) -> str:
        """SHA-256 of local data; empty if it cannot be read, which its upload reports."""
        try:
            return (await self._read(local)).content_hash
        except DataError:
            return ""

    async def find(self, path: DataPath) -> DataFiles:
        """Find data in the environment; upload it if it is local.

        Raises:
            ConfigFailure: the data does not exist.
            UploadFailure: the data could not be uploaded.
        """
        if path.local is None:
            return await self._on_drive(path)
        try:
            data = await self._read(path.local)
            upload = self._uploads.get(data.content_hash)
            if upload is None:
                upload = self._uploads[data.content_hash] = asyncio.create_task(self._uploaded(data))
            # Shielded, since other cases wait for the same upload.
            folder = await asyncio.shield(upload)
        except DataError as error:
            raise ConfigFailure(f"{path.place}: `data`: {error}") from None
        return DataFiles(f"{folder}/{data.name}", tuple(data.files) if data.is_folder else None)

    async def _uploaded(self, data: LocalData) -> str:
        return await self._upload(data)

    async def _read(self, local: Path) -> LocalData:
        if local not in self._local:
            self._local[local] = asyncio.create_task(asyncio.to_thread(read_data, local))
        return await asyncio.shield(self._local[local])

    async def _on_drive(self, path: DataPath) -> DataFiles:
        client = await self._client()
        try:
            if (await client.drive.metadata(path.text)).type == "file":
                return DataFiles(path.text, None)
            names = [name async for name in _below(client, path.text)]
        except errors.ApiError as error:
            raise ConfigFailure(
                f"{path.place}: `data`: the environment cannot read {path.text} ({error.reason}): correct the drive "
                "path, or write a local path with ./ before it"
            ) from error
        except errors.InstabaseError as error:
            raise as_failure(error, UploadFailure) from error
        if not names:
            raise ConfigFailure(f"{path.place}: `data`: the drive folder {path.text} has no file to train on")
        return DataFiles(path.text, tuple(sorted(names)))


async def _below(client: Instabase, folder: str) -> AsyncIterator[str]:
    """Yield the names of all files below a drive folder."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        for node in await client.drive.list(f"{folder}/{prefix}".rstrip("/")):
            if node.type == "folder":
                waiting.append(f"{prefix}{node.name}/")
            else:
                yield f"{prefix}{node.name}"
