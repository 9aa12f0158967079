"""One environment during one session: its client, the code pushed to it, and what has to be removed at the end."""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.runs.clock import poll_interval
from pytest_ibmodels.runs.embedded import EmbeddedSandbox
from pytest_ibmodels.runs.failures import ConfigFailure, EnvironmentUnavailable, RunFailure, UploadFailure
from pytest_ibmodels.runs.routes.base import Workplace
from pytest_ibmodels.spec import SpecError

if TYPE_CHECKING:
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.runs.clock import Clock
    from pytest_ibmodels.runs.limits import Limits
    from pytest_ibmodels.spec import Environment, ResolvedEnvironment

_TEST_FOLDER = "ci-test-temp"
_UNBOUNDED = 1_000_000


@dataclass
class _Opened:
    client: Instabase
    root: str
    sandbox: EmbeddedSandbox | None


class EnvironmentSession:
    """Opens an environment once, pushes each package once, and removes both at the end.

    Cases of an environment share one session; what fails here fails all of them, once, with one sentence.
    """

    def __init__(self, environment: Environment, limits: Limits, clock: Clock) -> None:
        self._resolved, self._broken = _resolve(environment)
        self.slots = asyncio.Semaphore(_parallel(self._resolved))
        self._limits = limits
        self._clock = clock
        self._opening: asyncio.Task[_Opened] | None = None
        self._uploads: dict[str, asyncio.Task[Workplace]] = {}
        self._folders: list[str] = []
        self.left_behind: list[str] = []
        """Sentences on what could not be removed or cancelled."""

    @property
    def is_embedded(self) -> bool:
        """Whether this environment is a sandbox of ours, which ends with the session."""
        return self._resolved is not None and self._resolved.is_embedded

    async def workplace(self, package: Package) -> Workplace:
        """The place where this session's runs work; the first caller opens the environment and pushes the package.

        Raises:
            ConfigFailure: the environment's entry cannot be used, for example a variable is not set.
            EnvironmentUnavailable: nothing answers there, or the token is refused.
            UploadFailure: the package could not be put there.
        """
        upload = self._uploads.get(package.content_hash)
        if upload is None:
            upload = self._uploads[package.content_hash] = asyncio.create_task(self._push(package))
        # One case that is cancelled must not take the upload from the others.
        return await asyncio.shield(upload)

    def check_alive(self) -> None:
        """Raise EnvironmentUnavailable if this environment is a sandbox of ours that has died."""
        opened = self._opened()
        if opened is not None and opened.sandbox is not None and opened.sandbox.has_ended:
            raise EnvironmentUnavailable(f"the sandbox ended unexpectedly: {opened.sandbox.last_words()}")

    async def close(self) -> None:
        """Remove what was pushed and let go of the environment; what could not be removed is in ``left_behind``."""
        for task in self._uploads.values():
            task.cancel()
        await asyncio.gather(*self._uploads.values(), return_exceptions=True)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        opened = self._opened()
        if opened is None:
            return
        try:
            await self._remove_folders(opened)
        finally:
            await opened.client.close()
            if opened.sandbox is not None:
                await opened.sandbox.stop()

    async def _remove_folders(self, opened: _Opened) -> None:
        drive = opened.client.drive
        waiting = list(self._folders)
        try:
            while waiting:
                await drive.delete(waiting[0], force=True)
                waiting.pop(0)
            parent = f"{opened.root}/{_TEST_FOLDER}"
            # Another session may have its folder there: it goes only if it is empty, and never by force.
            if self._folders and not await drive.list(parent):
                await drive.delete(parent, force=False)
        except errors.InstabaseError as error:
            if opened.sandbox is None or not opened.sandbox.is_temporary:
                self.left_behind += [f"{folder} could not be removed: {error}" for folder in waiting]
        except asyncio.CancelledError:
            self.left_behind += [f"{folder} may be left: there was no time to remove it" for folder in waiting]
            raise

    def _opened(self) -> _Opened | None:
        task = self._opening
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    async def _push(self, package: Package) -> Workplace:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        opened = await asyncio.shield(self._opening)
        suffix = uuid.uuid4().hex
        folder = f"{opened.root}/{_TEST_FOLDER}/{package.name}_{suffix}"
        self._folders.append(folder)
        try:
            await self._upload(opened.client, folder, package)
        except errors.InstabaseError as error:
            if isinstance(error, errors.AccessRefused) or not getattr(error, "reached", True):
                self._folders.remove(folder)  # it was never made
            raise as_failure(error, UploadFailure) from error
        return Workplace(opened.client, folder, package, suffix[:8])

    async def _open(self) -> _Opened:
        resolved = self._resolved
        if resolved is None:
            raise ConfigFailure(self._broken)
        if not resolved.is_embedded:
            token = resolved.token or SecretStr("")
            return _Opened(Instabase(resolved.host, token), resolved.path, None)
        sandbox = await EmbeddedSandbox.start(mounts=resolved.mounts, data=resolved.data)
        return _Opened(Instabase(sandbox.url, sandbox.token), resolved.path, sandbox)

    async def _upload(self, client: Instabase, folder: str, package: Package) -> None:
        zip_name = f"{uuid.uuid4().hex}.ibsolution"
        await client.drive.write(f"{folder}/{zip_name}", package.data)
        job_id = await client.drive.start_unzip(folder, zip_name)
        started = self._clock.now()
        while True:
            status = await client.jobs.status(job_id)
            waited = self._clock.now() - started
            if status.is_over or status.failure:
                break
            if waited > self._limits.upload:
                raise UploadFailure(
                    f"unpacking the package did not end within {self._limits.upload:g} s (job {job_id})"
                )
            await self._clock.sleep(poll_interval(waited, self._limits.longest_poll))
        if status.failure:
            raise UploadFailure(f"the package could not be unpacked (job {job_id}): {status.failure}")
        await client.drive.delete(f"{folder}/{zip_name}")


def _resolve(environment: Environment) -> tuple[ResolvedEnvironment | None, str]:
    """The entry with its variables filled in, or why that cannot be."""
    try:
        return environment.resolve(os.environ), ""
    except SpecError as error:
        return None, str(error)


def _parallel(environment: ResolvedEnvironment | None) -> int:
    if environment is not None and environment.max_parallel is not None:
        return environment.max_parallel
    # Trainings on this very machine would only take the processor from each other.
    embedded = environment is not None and environment.is_embedded
    return max(1, (os.cpu_count() or 1) // 2) if embedded else _UNBOUNDED


def as_failure(error: errors.InstabaseError, kind: type[RunFailure]) -> RunFailure:
    """The failure of a run that a client's error means: one of the environment itself, or ``kind``."""
    if isinstance(error, errors.EnvironmentUnavailable | errors.AccessRefused):
        return EnvironmentUnavailable(str(error))
    return kind(str(error))
