"""The calls of one environment, a class per resource, all over one :class:`Transport`.

Paths are drive paths, ``OWNER/REPO/fs/DRIVE/PATH``. Every method raises the errors of
:mod:`pytest_ibmodels.instabase.errors`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase import policy
from pytest_ibmodels.instabase.errors import ApiError, InstabaseError
from pytest_ibmodels.instabase.http import Transport
from pytest_ibmodels.instabase.marketplace import Marketplace
from pytest_ibmodels.instabase.wire import (
    CancelRequest,
    DeleteRequest,
    DriveArgs,
    Envelope,
    Exported,
    ExportRequest,
    JobListing,
    JobStarted,
    JobStatus,
    Listing,
    LogEntry,
    MetadataAnswer,
    MountListing,
    Node,
    NodeMetadata,
    RefinerRequest,
    RunRequest,
    TrainRequest,
    Unloaded,
    UnloadRequest,
    UnzipRequest,
    Written,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    import httpx
    from pydantic import SecretStr
    from pydantic.types import JsonValue

    from pytest_ibmodels.instabase.policy import RetryPolicy
    from pytest_ibmodels.instabase.retrying import Retrier


class Instabase:
    """Everything that is asked of one environment.

    Args:
        host: scheme, name and port; a trailing slash is dropped.
        token, patience, verify, secrets, transport: see :class:`Transport`.
    """

    def __init__(
        self,
        host: str,
        token: SecretStr,
        *,
        patience: Retrier | None = None,
        verify: ssl.SSLContext | bool = True,
        secrets: Sequence[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.transport = Transport(host, token, patience=patience, verify=verify, secrets=secrets, transport=transport)
        self.drive = Drive(self.transport)
        self.jobs = Jobs(self.transport)
        self.models = Models(self.transport)
        self.marketplace = Marketplace(self.transport)

    async def close(self) -> None:
        self.drive.close()
        await self.transport.close()


class Drive:
    """Files and folders (protocol: drives)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._mounts: dict[str, asyncio.Task[MountListing]] = {}

    def close(self) -> None:
        """Ask nothing more on the behalf of many."""
        for asking in self._mounts.values():
            asking.cancel()

    async def read(self, path: str) -> bytes:
        args = DriveArgs(type="file", get_content=True)
        return await self._transport.read(f"drives/{path}", args, policy=policy.READ)

    async def write(self, path: str, data: bytes) -> None:
        """Write a whole file; parents are created, an old file is replaced."""
        args = DriveArgs(type="file", if_exists="overwrite")
        await self._transport.call(Written, "POST", f"drives/{path}", args=args, body=data, policy=policy.WRITE)

    async def list(self, path: str) -> list[Node]:
        """All nodes of a folder, every page of them."""
        nodes: list[Node] = []
        token = ""
        while True:
            args = DriveArgs(type="folder", get_content=True, get_metadata=False, start_page_token=token)
            page = await self._transport.call(Listing, "GET", f"drives/{path}", args=args, policy=policy.READ)
            nodes.extend(page.nodes)
            # A page that points back to itself would never end.
            if not page.has_more or page.next_page_token in {"", token}:
                return nodes
            token = page.next_page_token

    async def metadata(self, path: str) -> NodeMetadata:
        """Type, time of the last change and, of a file, size."""
        args = DriveArgs(get_content=False, get_metadata=True)
        call = self._transport.call(MetadataAnswer, "GET", f"drives/{path}", args=args, policy=policy.READ)
        return (await call).metadata

    async def delete(self, path: str, *, force: bool = False) -> None:
        """Delete a node; ``force`` takes a folder with all it holds. What is not there (any more) is no error."""
        request = DeleteRequest(force=force)
        try:
            await self._transport.call(Envelope, "DELETE", f"drives/{path}", body=request, policy=policy.DELETE)
        except ApiError:
            if await self._may_exist(path):
                raise

    async def _may_exist(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        try:
            return name in [node.name for node in await self.list(parent)]
        except InstabaseError:
            return True

    async def start_unzip(self, folder: str, zip_name: str) -> str:
        """Start to unpack ``folder/zip_name`` into ``folder``; the id of the job."""
        request = UnzipRequest(zip_file=zip_name, destination=folder)
        args = DriveArgs(type="folder")
        started = await self._transport.call(
            JobStarted, "POST", f"drives/{folder}/unzip", args=args, body=request, policy=policy.UNZIP
        )
        return started.job_id

    async def mount_details(self, path: str, *, policy: RetryPolicy = policy.READ) -> dict[str, JsonValue] | None:
        """How the drive that holds ``path`` is mounted; the training job is told, unchanged.

        It is asked once, and hundreds of jobs are told the same.
        """
        root = path.split("/fs/", maxsplit=1)[0] + "/fs"
        asking = self._mounts.get(root)
        if asking is None or (asking.done() and (asking.cancelled() or asking.exception() is not None)):
            call = self._transport.call(MountListing, "GET", f"drives/{root}", policy=policy)
            asking = self._mounts[root] = asyncio.create_task(call)
        # One who is cancelled must not take the answer from the others.
        listing = await asyncio.shield(asking)
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
        return await self._transport.call(JobStatus, "GET", "jobs/status", params=params, policy=policy.STATUS)

    async def named(self, model_name: str) -> list[str]:
        """The ids of the training jobs that make a model of this name, oldest first.

        Raises:
            ApiError, UnexpectedAnswer: this environment has no such call; of those we know, only the sandbox has.
        """
        params = {"model_name": model_name}
        listing = await self._transport.call(JobListing, "GET", "jobs/list", params=params, policy=policy.FIND)
        return [job.job_id for job in listing.jobs if job.model_name == model_name]

    async def cancel(self, job_id: str) -> bool:
        """End a job. False where the environment has no such call, or does not answer."""
        request = CancelRequest(job_id=job_id)
        try:
            await self._transport.call(Envelope, "POST", "jobs/cancel", body=request, policy=policy.CANCEL)
        except ApiError:
            return await self._has_ended(job_id)
        except InstabaseError:
            return False
        return True

    async def _has_ended(self, job_id: str) -> bool:
        # The answer to a first request may have been lost, or the job was faster.
        try:
            return (await self.status(job_id, kind="async")).is_over
        except InstabaseError:
            return False

    async def log(self, job_id: str) -> list[LogEntry]:
        """The log of a job, oldest line first."""
        value = await self._transport.get_json(f"classifier/logs/{job_id}", policy=policy.LOG)
        if not isinstance(value, list):
            return []
        return [LogEntry.model_validate(entry) for entry in value if isinstance(entry, dict) and "log" in entry]


class Models:
    """Training, serving and the Refiner (generation A)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def train(self, request: TrainRequest) -> str:
        """Start a training; the id of the job."""
        path = "model-service/run_train"
        started = await self._transport.call(JobStarted, "POST", path, body=request, policy=policy.TRAIN)
        return started.job_id

    async def start_run(self, request: RunRequest) -> str:
        """Start to run a model on a document; the id of the job, whose first result is the model's."""
        path = "model-service/run_async"
        started = await self._transport.call(JobStarted, "POST", path, body=request, policy=policy.RUN)
        return started.job_id

    async def run(self, request: RunRequest) -> dict[str, JsonValue]:
        """Run a model on a document; its result."""
        answer = await self._transport.call(Envelope, "POST", "model-service/run", body=request, policy=policy.RUN)
        return dict(answer.model_extra or {})

    async def unload(self, model_name: str) -> None:
        request = UnloadRequest(model_name=model_name)
        path = "model-service/unload_model"
        await self._transport.call(Unloaded, "POST", path, body=request, policy=policy.UNLOAD)

    async def export_refiner(self, request: ExportRequest) -> str:
        """Have a Refiner program written for a trained model; where it is."""
        path = "annotator/export_model"
        exported = await self._transport.call(Exported, "POST", path, body=request, policy=policy.EXPORT)
        return exported.refiner_path

    async def run_refiner(self, request: RefinerRequest) -> str:
        """Start a Refiner program on records; the id of the job."""
        path = "refiner-v5/run"
        started = await self._transport.call(JobStarted, "POST", path, body=request, policy=policy.REFINE)
        return started.job_id
