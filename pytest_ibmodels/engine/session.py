"""One environment during one session: its client, the uploaded packages, and what to remove at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from pytest_ibmodels.engine.data import EnvironmentData
from pytest_ibmodels.engine.failures import ConfigFailure, EnvironmentUnavailable, UploadFailure, as_failure
from pytest_ibmodels.engine.routes.base import RunContext
from pytest_ibmodels.engine.sandbox_process import EmbeddedSandbox
from pytest_ibmodels.engine.upload import check_reachable, upload_data, upload_package
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.environment import EnvironmentJournal, environment_id
from pytest_ibmodels.journal.removal import remove, remove_if_empty
from pytest_ibmodels.journal.store import Journal, JournalError
from pytest_ibmodels.spec import SpecError
from pytest_ibmodels.spec.databases import passwords

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from queue import SimpleQueue

    from pytest_ibmodels.engine.polling import Limits
    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.packaging import LocalData, Package
    from pytest_ibmodels.spec import Environment, ResolvedEnvironment

_TEST_FOLDER = "ci-test-temp"
_UNLIMITED = 1_000_000
_SWEEP = "; `ibmodels sweep` removes what is left"


@dataclass
class _OpenEnvironment:
    client: Instabase
    root: str
    sandbox: EmbeddedSandbox | None


class EnvironmentSession:
    """Opens an environment once, uploads each package once, and cleans up at the end.

    The cases of an environment share one session; a failure here fails all of them with the same sentence.

    Args:
        journal: journal of what is created in the environment; None disables journaling.
        code: folder of the code that will train; an embedded sandbox makes its slow imports at once.
        reattach: whether to continue jobs of sessions that are no longer alive.
        portals: gets the environment's name and the portal's address of an embedded sandbox; None asks for none.
    """

    def __init__(
        self,
        environment: Environment,
        limits: Limits,
        clock: Clock,
        journal: Journal | None = None,
        *,
        code: Path | None = None,
        reattach: bool = False,
        portals: SimpleQueue[tuple[str, str]] | None = None,
    ) -> None:
        self._portals = portals
        self._resolved, self._config_error = _resolve(environment)
        identity = "" if self._resolved is None else environment_id(self._resolved)
        self.journal = EnvironmentJournal(journal or Journal(None), environment.name, identity)
        self._code = code
        self._reattach = reattach
        self._orphaned_jobs: asyncio.Task[list[Entry]] | None = None
        self._markers: dict[str, asyncio.Task[str]] = {}
        self.slots = asyncio.Semaphore(_parallel(self._resolved))
        self.limits = replace(limits, **environment.limits)
        """The session's limits, overridden by those of the environment's entry."""
        self._location = f"{environment.file.name}:{environment.line}" if environment.file else environment.name
        self._clock = clock
        self._opening: asyncio.Task[_OpenEnvironment] | None = None
        self._uploads: dict[str, asyncio.Task[RunContext]] = {}
        self.data = EnvironmentData(self._upload_data, self.client)
        self._folders: list[str] = []
        self._at_work = 0
        self.left_behind: list[str] = []
        """Sentences on what could not be removed or cancelled."""

    @property
    def is_embedded(self) -> bool:
        """Whether this environment is an embedded sandbox, which ends with the session."""
        return self._resolved is not None and self._resolved.is_embedded

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a run as active in this environment."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    def active_runs(self) -> int:
        """Number of active runs."""
        return self._at_work

    @property
    def database(self) -> SecretStr | None:
        """URL of the environment's database; None if it has none."""
        return self._resolved.database if self._resolved is not None else None

    @property
    def models_note(self) -> str:
        """Clause for a note on a promoted model: that a temporary sandbox loses it; empty otherwise."""
        opened = self._current()
        if opened is None or opened.sandbox is None or not opened.sandbox.is_temporary:
            return ""
        return " (this sandbox ends with the session, and its models with it; `data:` in its entry keeps them)"

    async def run_context(self, package: Package) -> RunContext:
        """The context of this session's runs; the first caller opens the environment and uploads the package.

        Raises:
            ConfigFailure: the environment's entry cannot be used, for example because a variable is not set.
            EnvironmentUnavailable: the environment does not answer, or refuses the token.
            UploadFailure: the package could not be uploaded.
        """
        upload = self._uploads.get(package.content_hash)
        if upload is None:
            upload = self._uploads[package.content_hash] = asyncio.create_task(self._upload(package))
        # Shielded, since other cases wait for the same upload.
        return await asyncio.shield(upload)

    async def client(self) -> Instabase:
        """The environment's client; the first caller opens the environment. Raises: as :meth:`run_context`."""
        return (await self._open_once()).client

    async def orphaned_jobs(self) -> list[Entry]:
        """Jobs of processes that are no longer alive, oldest first; empty without ``reattach``. Read once."""
        if not self._reattach:
            return []
        if self._orphaned_jobs is None:
            self._orphaned_jobs = asyncio.create_task(self._read_orphaned_jobs())
        return await asyncio.shield(self._orphaned_jobs)

    def adopt(self, folder: str) -> None:
        """Take over a folder of an earlier session: remove it at the end unless other jobs of that session use it."""
        if folder not in self._folders:
            self._folders.append(folder)

    async def file_marker(self, path: str) -> str:
        """A marker that changes with a file of the drive, or with local data; empty if there is none. Read once.

        Args:
            path: a drive path, or an absolute local path.

        Raises: as :meth:`run_context`.
        """
        if path.startswith("/"):
            return await self.data.marker(Path(path))
        if path not in self._markers:
            self._markers[path] = asyncio.create_task(self._marker(path))
        return await asyncio.shield(self._markers[path])

    def check_alive(self) -> None:
        """Raise EnvironmentUnavailable if this environment is an embedded sandbox that has ended."""
        opened = self._current()
        if opened is not None and opened.sandbox is not None and opened.sandbox.has_ended:
            raise EnvironmentUnavailable(f"the sandbox ended unexpectedly: {opened.sandbox.last_error_line()}")

    async def close(self) -> None:
        """Remove what was created and close the environment; ``left_behind`` tells what could not be removed."""
        tasks = [*self._uploads.values(), *self.data.tasks, *self._markers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        opened = self._current()
        if opened is None:
            return
        try:
            await self._remove_all(opened)
        finally:
            await opened.client.close()
            if opened.sandbox is not None:
                await opened.sandbox.stop()

    async def _remove_all(self, opened: _OpenEnvironment) -> None:
        # Ended jobs leave the journal before their folder does: no session may continue a job without its model.
        jobs = self.journal.entries("job")
        await self.journal.remove(*(job for job in jobs if not job.name or (job.job is not None and job.job.ended)))
        waiting = list(self._folders)
        try:
            await self._unload_models(opened.client)
            while waiting:
                await self._remove_folder(opened.client, waiting[0])
                waiting.pop(0)
            if self._folders:
                # Other sessions may have folders there.
                await remove_if_empty(opened.client, f"{opened.root}/{_TEST_FOLDER}")
        except (errors.InstabaseError, JournalError) as error:
            if opened.sandbox is None or not opened.sandbox.is_temporary:
                self.left_behind += [f"{folder} could not be removed: {error}{_SWEEP}" for folder in waiting]
        except asyncio.CancelledError:
            self.left_behind += [f"{folder} may be left: there was no time to remove it{_SWEEP}" for folder in waiting]
            raise

    async def _unload_models(self, client: Instabase) -> None:
        for model in self.journal.entries("model"):
            try:
                await remove(client, model)
            except errors.InstabaseError as error:
                self.left_behind.append(f"the served model {model.name} could not be unloaded: {error}{_SWEEP}")
            else:
                await self.journal.remove(model)

    async def _remove_folder(self, client: Instabase, folder: str) -> None:
        journal, store = self.journal, self.journal.store
        entries = [entry for entry in journal.entries("folder") if entry.name == folder]
        if not entries:  # an earlier session's folder, which other processes may use
            others = store.other_jobs(folder)
            if others:
                jobs = ", ".join(job.name or "(unknown)" for job in others)
                stays = f"{folder} stays for its other jobs, which were not continued ({jobs})"
                self.left_behind.append(f"{stays}{_SWEEP}")
                return
            entries = store.folder(folder)
        for entry in entries or [store.new_entry(journal.environment, journal.identity, "folder", folder)]:
            await remove(client, entry)
        if not any(job.folder == folder for job in journal.entries("job")):
            await journal.remove(*entries)  # else a job that could not be cancelled may write into the folder again

    def _current(self) -> _OpenEnvironment | None:
        task = self._opening
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    async def _open_once(self) -> _OpenEnvironment:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _read_orphaned_jobs(self) -> list[Entry]:
        try:
            left = await asyncio.to_thread(self.journal.left)
        except JournalError as error:
            self.left_behind.append(f"no job can be continued: {error}")
            return []
        return [entry for entry in left if entry.kind == "job"]

    async def _marker(self, path: str) -> str:
        try:
            metadata = await (await self.client()).drive.metadata(path)
        except errors.InstabaseError:
            return ""
        return f"{metadata.modified_timestamp:.6f} {metadata.size}"

    async def _upload(self, package: Package) -> RunContext:
        client, folder, suffix = await self._new_folder(
            package.name,
            lambda client, folder: upload_package(client, folder, package, self._clock, self.limits),
        )
        return RunContext(client, folder, package, suffix[:8], self.database, self.data.find)

    async def _upload_data(self, data: LocalData) -> str:
        _client, folder, _suffix = await self._new_folder(
            "data", lambda client, folder: upload_data(client, folder, data, self._clock, self.limits)
        )
        return folder

    async def _new_folder(
        self, name: str, fill: Callable[[Instabase, str], Awaitable[None]]
    ) -> tuple[Instabase, str, str]:
        """Create a folder that is removed at the end, and fill it; return client, folder, and the end of its name."""
        opened = await self._open_once()
        suffix = uuid.uuid4().hex
        folder = f"{opened.root}/{_TEST_FOLDER}/{name}_{suffix}"
        entry = await self.journal.add("folder", folder)
        self._folders.append(folder)
        try:
            await fill(opened.client, folder)
        except errors.InstabaseError as error:
            if isinstance(error, errors.AccessRefused) or not getattr(error, "reached", True):
                self._folders.remove(folder)  # the folder was never created
                await self.journal.remove(entry)
            raise as_failure(error, UploadFailure) from error
        return opened.client, folder, suffix

    async def _open(self) -> _OpenEnvironment:
        resolved = self._resolved
        if resolved is None:
            raise ConfigFailure(self._config_error)
        retrier = Retrier(self._clock)
        secrets = passwords(resolved.database.get_secret_value()) if resolved.database is not None else ()
        if resolved.is_embedded:
            sandbox = await EmbeddedSandbox.start(
                mounts=resolved.mounts,
                data=resolved.data,
                code=self._code,
                job_threads=_job_threads(resolved),
                portal=self._portals is not None,
            )
            if self._portals is not None:
                self._portals.put((resolved.name, sandbox.portal))
            client = Instabase(sandbox.url, sandbox.token, retrier=retrier, secrets=secrets)
            return _OpenEnvironment(client, resolved.path, sandbox)
        token = resolved.token or SecretStr("")
        try:
            client = Instabase(resolved.host, token, retrier=retrier, verify=resolved.verification, secrets=secrets)
        except errors.ClientSetupError as error:
            raise ConfigFailure(f"environment `{resolved.name}`: {error.reason}") from None
        try:
            await check_reachable(client, resolved.path, self.limits, self._clock, self._location)
        except BaseException as error:
            await client.close()
            if isinstance(error, errors.InstabaseError):
                raise as_failure(error, EnvironmentUnavailable) from error
            raise
        return _OpenEnvironment(client, resolved.path, None)


def _resolve(environment: Environment) -> tuple[ResolvedEnvironment | None, str]:
    """Fill in the variables of an entry, or return why that fails."""
    try:
        return environment.resolve(os.environ), ""
    except SpecError as error:
        return None, str(error)


def _job_threads(environment: ResolvedEnvironment) -> int | None:
    """Threads of each training in an embedded sandbox; None, which means all cores, unless its entry says how many."""
    return environment.max_parallel and max(1, (os.cpu_count() or 1) // environment.max_parallel)


def _parallel(environment: ResolvedEnvironment | None) -> int:
    if environment is not None and environment.max_parallel is not None:
        return environment.max_parallel
    # Trainings of an embedded sandbox share the processors of this machine.
    embedded = environment is not None and environment.is_embedded
    return max(1, (os.cpu_count() or 1) // 2) if embedded else _UNLIMITED
