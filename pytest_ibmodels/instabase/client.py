"""Client of one environment: a class per resource, all on one :class:`Transport`.

Paths are drive paths, ``OWNER/REPO/fs/DRIVE/PATH``. Every method raises the errors of
:mod:`pytest_ibmodels.instabase.errors`.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase import policy
from pytest_ibmodels.instabase.errors import ApiError, EnvironmentUnavailable, InstabaseError
from pytest_ibmodels.instabase.http import Transport
from pytest_ibmodels.instabase.marketplace import Marketplace
from pytest_ibmodels.instabase.wire import (
    IDEMPOTENCY_KEY_HEADER,
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
from pytest_ibmodels.instabase.wire_sandbox import SandboxStatus

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    import httpx
    from pydantic import SecretStr
    from pydantic.types import JsonValue

    from pytest_ibmodels.instabase.policy import RetryPolicy
    from pytest_ibmodels.instabase.retrying import Retrier


class Instabase:
    """Client of one environment.

    Args:
        host: scheme, name and port; a trailing slash is ignored.
        token, retrier, verify, secrets, transport: see :class:`Transport`.
    """

    def __init__(
        self,
        host: str,
        token: SecretStr,
        *,
        retrier: Retrier | None = None,
        verify: ssl.SSLContext | bool = True,
        secrets: Sequence[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.transport = Transport(host, token, retrier=retrier, verify=verify, secrets=secrets, transport=transport)
        self.drive = Drive(self.transport)
        self.jobs = Jobs(self.transport)
        self.models = Models(self.transport)
        self.marketplace = Marketplace(self.transport)

    async def close(self) -> None:
        self.drive.close()
        await self.transport.close()

    async def sandbox_status(self) -> SandboxStatus | None:
        """Get version, machines and queue of a sandbox; None if the environment is no sandbox. Sends one request.

        Raises:
            EnvironmentUnavailable: no answer, HTTP 429, or HTTP 500 and above.
        """
        try:
            return await self.transport.call(SandboxStatus, "GET", "sandbox/status", policy=policy.SANDBOX)
        except EnvironmentUnavailable:
            raise
        except InstabaseError:
            # HTTP 404, a page for browsers, a redirect to a login: environments answer unknown calls in several ways.
            return None


class Drive:
    """Files and folders (Instabase protocol, "Drives")."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._mounts: dict[str, asyncio.Task[MountListing]] = {}

    def close(self) -> None:
        """Cancel the shared requests that still run."""
        for request in self._mounts.values():
            request.cancel()

    async def read(self, path: str) -> bytes:
        """Read a whole file."""
        args = DriveArgs(type="file", get_content=True)
        return await self._transport.read(f"drives/{path}", args, policy=policy.READ)

    async def write(self, path: str, data: bytes) -> None:
        """Write a whole file; parent folders are created, and an existing file is replaced."""
        args = DriveArgs(type="file", if_exists="overwrite")
        await self._transport.call(Written, "POST", f"drives/{path}", args=args, body=data, policy=policy.WRITE)

    async def list(self, path: str) -> list[Node]:
        """List all nodes of a folder, from all pages."""
        nodes: list[Node] = []
        token = ""
        while True:
            args = DriveArgs(type="folder", get_content=True, get_metadata=False, start_page_token=token)
            page = await self._transport.call(Listing, "GET", f"drives/{path}", args=args, policy=policy.READ)
            nodes.extend(page.nodes)
            # A page that names itself as the next one would repeat forever.
            if not page.has_more or page.next_page_token in {"", token}:
                return nodes
            token = page.next_page_token

    async def metadata(self, path: str) -> NodeMetadata:
        """Get type and time of the last change, and the size of a file."""
        args = DriveArgs(get_content=False, get_metadata=True)
        call = self._transport.call(MetadataAnswer, "GET", f"drives/{path}", args=args, policy=policy.READ)
        return (await call).metadata

    async def delete(self, path: str, *, force: bool = False) -> None:
        """Delete a node, with ``force`` also a folder that is not empty. A missing node is no error."""
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
        """Start unpacking ``folder/zip_name`` into ``folder``, and return the id of the job."""
        request = UnzipRequest(zip_file=zip_name, destination=folder)
        args = DriveArgs(type="folder")
        started = await self._transport.call(
            JobStarted, "POST", f"drives/{folder}/unzip", args=args, body=request, policy=policy.UNZIP
        )
        return started.job_id

    async def mount_details(self, path: str, *, policy: RetryPolicy = policy.READ) -> dict[str, JsonValue] | None:
        """Get the mount details of the drive that contains ``path``; None if there are none.

        Training jobs are given them unchanged. One request serves all jobs on the same drive.
        """
        root = path.split("/fs/", maxsplit=1)[0] + "/fs"
        request = self._mounts.get(root)
        if request is None or (request.done() and (request.cancelled() or request.exception() is not None)):
            call = self._transport.call(MountListing, "GET", f"drives/{root}", policy=policy)
            request = self._mounts[root] = asyncio.create_task(call)
        # A caller that is cancelled must not cancel the request of the others.
        listing = await asyncio.shield(request)
        for mount in listing.drives:
            if path.startswith(f"{mount.full_path.rstrip('/')}/"):
                return mount.mount_details
        return None


class Jobs:
    """Status, cancellation and logs of jobs (Instabase protocol, "Jobs")."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def status(self, job_id: str, *, kind: str | None = None) -> JobStatus:
        """Get the status of a job; ``kind`` is the protocol's ``type``, which unzip jobs do not have.

        A failed job is an answer (``status`` ERROR with a ``state``), not an exception.
        """
        params = {"job_id": job_id} if kind is None else {"job_id": job_id, "type": kind}
        return await self._transport.call(JobStatus, "GET", "jobs/status", params=params, policy=policy.STATUS)

    async def named(self, model_name: str) -> list[str]:
        """List the ids of the training jobs for a model name, oldest first.

        Raises:
            ApiError, UnexpectedAnswer: the environment does not have this call; only the sandbox is known to have it.
        """
        params = {"model_name": model_name}
        listing = await self._transport.call(JobListing, "GET", "jobs/list", params=params, policy=policy.FIND)
        return [job.job_id for job in listing.jobs if job.model_name == model_name]

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job. Return False if the environment does not have this call or does not answer."""
        request = CancelRequest(job_id=job_id)
        try:
            await self._transport.call(Envelope, "POST", "jobs/cancel", body=request, policy=policy.CANCEL)
        except ApiError:
            return await self._has_ended(job_id)
        except InstabaseError:
            return False
        return True

    async def _has_ended(self, job_id: str) -> bool:
        # The answer to a first request may have been lost, or the job ended first.
        try:
            return (await self.status(job_id, kind="async")).is_over
        except InstabaseError:
            return False

    async def log(self, job_id: str) -> list[LogEntry]:
        """Read the log of a job, oldest line first."""
        value = await self._transport.get_json(f"classifier/logs/{job_id}", policy=policy.LOG)
        if not isinstance(value, list):
            return []
        return [LogEntry.model_validate(entry) for entry in value if isinstance(entry, dict) and "log" in entry]


class Models:
    """Training, serving and the Refiner (Instabase protocol, "Model service" and "Refiner")."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def train(self, request: TrainRequest, key: str = "") -> str:
        """Start a training, and return the id of the job.

        Args:
            request: the training.
            key: idempotency key: calls with the same key start one job, on a sandbox. Empty gives each call its own.
        """
        path, headers = "model-service/run_train", {IDEMPOTENCY_KEY_HEADER: key or uuid.uuid4().hex}
        call = self._transport.call(JobStarted, "POST", path, body=request, policy=policy.TRAIN, headers=headers)
        return (await call).job_id

    async def start_run(self, request: RunRequest) -> str:
        """Start running a model on a document, and return the id of the job; its first result is the model's."""
        path = "model-service/run_async"
        started = await self._transport.call(JobStarted, "POST", path, body=request, policy=policy.RUN)
        return started.job_id

    async def run(self, request: RunRequest) -> dict[str, JsonValue]:
        """Run a model on a document, and return the result."""
        answer = await self._transport.call(Envelope, "POST", "model-service/run", body=request, policy=policy.RUN)
        return dict(answer.model_extra or {})

    async def unload(self, model_name: str) -> None:
        """Unload a served model."""
        request = UnloadRequest(model_name=model_name)
        path = "model-service/unload_model"
        await self._transport.call(Unloaded, "POST", path, body=request, policy=policy.UNLOAD)

    async def export_refiner(self, request: ExportRequest) -> str:
        """Create a Refiner program for a trained model, and return the program's path."""
        path = "annotator/export_model"
        exported = await self._transport.call(Exported, "POST", path, body=request, policy=policy.EXPORT)
        return exported.refiner_path

    async def run_refiner(self, request: RefinerRequest) -> str:
        """Start a Refiner program on records, and return the id of the job."""
        path = "refiner-v5/run"
        started = await self._transport.call(JobStarted, "POST", path, body=request, policy=policy.REFINE)
        return started.job_id
