"""The calls of one environment, a class per resource, all over one :class:`Transport`.

Paths are drive paths, ``OWNER/REPO/fs/DRIVE/PATH``. Every method raises the errors of
:mod:`pytest_ibmodels.instabase.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.instabase.errors import InstabaseError
from pytest_ibmodels.instabase.http import Transport
from pytest_ibmodels.instabase.marketplace import Marketplace
from pytest_ibmodels.instabase.wire import (
    CancelRequest,
    DeleteRequest,
    DriveArgs,
    Envelope,
    Exported,
    ExportRequest,
    JobStarted,
    JobStatus,
    Listing,
    LogEntry,
    MountListing,
    Node,
    RefinerRequest,
    TrainRequest,
    Unloaded,
    UnloadRequest,
    UnzipRequest,
    Written,
)

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr
    from pydantic.types import JsonValue


class Instabase:
    """Everything that is asked of one environment.

    Args:
        host: scheme, name and port; a trailing slash is dropped.
        token: see :class:`Transport`.
        transport: see :class:`Transport`.
    """

    def __init__(self, host: str, token: SecretStr, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.transport = Transport(host, token, transport=transport)
        self.drive = Drive(self.transport)
        self.jobs = Jobs(self.transport)
        self.models = Models(self.transport)
        self.marketplace = Marketplace(self.transport)

    async def close(self) -> None:
        await self.transport.close()


class Drive:
    """Files and folders (protocol: drives)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def read(self, path: str) -> bytes:
        return await self._transport.read(f"drives/{path}", DriveArgs(type="file", get_content=True))

    async def write(self, path: str, data: bytes) -> None:
        """Write a whole file; parents are created, an old file is replaced."""
        args = DriveArgs(type="file", if_exists="overwrite")
        await self._transport.call(Written, "POST", f"drives/{path}", args=args, body=data)

    async def list(self, path: str) -> list[Node]:
        """All nodes of a folder, every page of them."""
        nodes: list[Node] = []
        token = ""
        while True:
            args = DriveArgs(type="folder", get_content=True, get_metadata=False, start_page_token=token)
            page = await self._transport.call(Listing, "GET", f"drives/{path}", args=args)
            nodes.extend(page.nodes)
            # A page that points back to itself would never end.
            if not page.has_more or page.next_page_token in {"", token}:
                return nodes
            token = page.next_page_token

    async def delete(self, path: str, *, force: bool = False) -> None:
        """Delete a node; ``force`` takes a folder with all it holds."""
        await self._transport.call(Envelope, "DELETE", f"drives/{path}", body=DeleteRequest(force=force))

    async def start_unzip(self, folder: str, zip_name: str) -> str:
        """Start to unpack ``folder/zip_name`` into ``folder``; the id of the job."""
        request = UnzipRequest(zip_file=zip_name, destination=folder)
        args = DriveArgs(type="folder")
        started = await self._transport.call(JobStarted, "POST", f"drives/{folder}/unzip", args=args, body=request)
        return started.job_id

    async def mount_details(self, path: str) -> dict[str, JsonValue] | None:
        """How the drive that holds ``path`` is mounted; the training job is told, unchanged."""
        root = path.split("/fs/", maxsplit=1)[0] + "/fs"
        listing = await self._transport.call(MountListing, "GET", f"drives/{root}")
        for mount in listing.drives:
            if path.startswith(f"{mount.full_path.rstrip('/')}/"):
                return mount.mount_details
        return None


class Jobs:
    """Status, cancelling and logs of jobs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def status(self, job_id: str, *, kind: str | None = None) -> JobStatus:
        """The state of a job; ``kind`` is the protocol's ``type``, absent for unzip.

        A failed job is an answer (``status`` ERROR with a ``state``), not an exception.
        """
        params = {"job_id": job_id} if kind is None else {"job_id": job_id, "type": kind}
        return await self._transport.call(JobStatus, "GET", "jobs/status", params=params)

    async def cancel(self, job_id: str) -> bool:
        """Ask to end a job. False where the environment has no such call, or the job had ended."""
        try:
            await self._transport.call(Envelope, "POST", "jobs/cancel", body=CancelRequest(job_id=job_id))
        except InstabaseError:
            return False
        return True

    async def log(self, job_id: str) -> list[LogEntry]:
        """The log of a job, oldest line first."""
        value = await self._transport.get_json(f"classifier/logs/{job_id}")
        if not isinstance(value, list):
            return []
        return [LogEntry.model_validate(entry) for entry in value if isinstance(entry, dict) and "log" in entry]


class Models:
    """Training, serving and the Refiner (generation A)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def train(self, request: TrainRequest) -> str:
        """Start a training; the id of the job."""
        started = await self._transport.call(JobStarted, "POST", "model-service/run_train", body=request)
        return started.job_id

    async def unload(self, model_name: str) -> None:
        request = UnloadRequest(model_name=model_name)
        await self._transport.call(Unloaded, "POST", "model-service/unload_model", body=request)

    async def export_refiner(self, request: ExportRequest) -> str:
        """Have a Refiner program written for a trained model; where it is."""
        exported = await self._transport.call(Exported, "POST", "annotator/export_model", body=request)
        return exported.refiner_path

    async def run_refiner(self, request: RefinerRequest) -> str:
        """Start a Refiner program on records; the id of the job."""
        started = await self._transport.call(JobStarted, "POST", "refiner-v5/run", body=request)
        return started.job_id
