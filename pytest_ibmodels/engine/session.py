"""One environment during one session: its client, the code pushed to it, and what has to be removed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from pytest_ibmodels.engine.failures import (
    ConfigFailure,
    EnvironmentUnavailable,
    RunFailure,
    UploadFailure,
)
from pytest_ibmodels.engine.routes.base import RunContext
from pytest_ibmodels.engine.sandbox_process import EmbeddedSandbox
from pytest_ibmodels.engine.upload import push, reach
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.policy import is_transient
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.environment import EnvironmentJournal, environment_id
from pytest_ibmodels.journal.removal import remove, remove_if_empty
from pytest_ibmodels.journal.store import Journal, JournalError
from pytest_ibmodels.spec import SpecError
from pytest_ibmodels.spec.databases import passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.engine.clock import Clock
    from pytest_ibmodels.engine.limits import Limits
    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment, ResolvedEnvironment

_TEST_FOLDER = "ci-test-temp"
_UNBOUNDED = 1_000_000
_SWEEP = "; `ibmodels sweep` removes what is left"


@dataclass
class _Opened:
    client: Instabase
    root: str
    sandbox: EmbeddedSandbox | None


class EnvironmentSession:
    """Opens an environment once, pushes each package once, and removes both at the end.

    Cases of an environment share one session; what fails here fails all of them, once, with one sentence.

    Args:
        journal: where what is made there is written down; None: nowhere.
        reattach: whether to go on with jobs of sessions that are no longer alive.
    """

    def __init__(
        self,
        environment: Environment,
        limits: Limits,
        clock: Clock,
        journal: Journal | None = None,
        *,
        reattach: bool = False,
    ) -> None:
        self._resolved, self._broken = _resolve(environment)
        place = "" if self._resolved is None else environment_id(self._resolved)
        self.ledger = EnvironmentJournal(journal or Journal(None), environment.name, place)
        self._reattach = reattach
        self._candidates: asyncio.Task[list[Entry]] | None = None
        self._markers: dict[str, asyncio.Task[str]] = {}
        self.slots = asyncio.Semaphore(_parallel(self._resolved))
        self.limits = replace(limits, **environment.limits)
        """Those of the session, or what the environment's entry says in their place."""
        self._place = f"{environment.file.name}:{environment.line}" if environment.file else environment.name
        self._clock = clock
        self._opening: asyncio.Task[_Opened] | None = None
        self._uploads: dict[str, asyncio.Task[RunContext]] = {}
        self._folders: list[str] = []
        self._at_work = 0
        self.left_behind: list[str] = []
        """Sentences on what could not be removed or cancelled."""

    @property
    def is_embedded(self) -> bool:
        """Whether this environment is a sandbox of ours, which ends with the session."""
        return self._resolved is not None and self._resolved.is_embedded

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While a run asks this environment for something."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    def active_runs(self) -> int:
        """How many runs are at work."""
        return self._at_work

    @property
    def database(self) -> SecretStr | None:
        """The URL of the environment's database, if it has one."""
        return self._resolved.database if self._resolved is not None else None

    @property
    def fate_of_models(self) -> str:
        """What to add to a sentence on a model in use: where it goes when this session ends."""
        opened = self._opened()
        if opened is None or opened.sandbox is None or not opened.sandbox.is_temporary:
            return ""
        return " (this sandbox ends with the session, and its models with it; `data:` in its entry keeps them)"

    async def workplace(self, package: Package) -> RunContext:
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

    async def client(self) -> Instabase:
        """The environment's client; the first caller opens the environment. Raises: as :meth:`workplace`."""
        return (await self._open_once()).client

    async def candidates(self) -> list[Entry]:
        """The jobs that may be continued: those of dead processes, if that is wanted; read once, oldest first."""
        if not self._reattach:
            return []
        if self._candidates is None:
            self._candidates = asyncio.create_task(self._read_candidates())
        return await asyncio.shield(self._candidates)

    def adopt(self, folder: str) -> None:
        """Remove a folder of an earlier session at the end, unless other jobs of that session are in it."""
        if folder not in self._folders:
            self._folders.append(folder)

    async def dataset_marker(self, path: str) -> str:
        """What changes when a data set's file does; empty if the environment does not say. Asked once a session.

        Raises: as :meth:`workplace`.
        """
        if path not in self._markers:
            self._markers[path] = asyncio.create_task(self._marker(path))
        return await asyncio.shield(self._markers[path])

    def check_alive(self) -> None:
        """Raise EnvironmentUnavailable if this environment is a sandbox of ours that has died."""
        opened = self._opened()
        if opened is not None and opened.sandbox is not None and opened.sandbox.has_ended:
            raise EnvironmentUnavailable(f"the sandbox ended unexpectedly: {opened.sandbox.last_words()}")

    async def close(self) -> None:
        """Remove what was pushed and let go of the environment; what could not be removed is in ``left_behind``."""
        tasks = [*self._uploads.values(), *self._markers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        opened = self._opened()
        if opened is None:
            return
        try:
            await self._remove_all(opened)
        finally:
            await opened.client.close()
            if opened.sandbox is not None:
                await opened.sandbox.stop()

    async def _remove_all(self, opened: _Opened) -> None:
        # A job that has ended is forgotten before its folder is gone: nobody must go on with one that lacks its model.
        jobs = self.ledger.of_kind("job")
        await self.ledger.gone(*(job for job in jobs if not job.name or (job.job is not None and job.job.ended)))
        waiting = list(self._folders)
        try:
            await self._unload_models(opened.client)
            while waiting:
                await self._remove_folder(opened.client, waiting[0])
                waiting.pop(0)
            if self._folders:
                # Another session may have its folder there.
                await remove_if_empty(opened.client, f"{opened.root}/{_TEST_FOLDER}")
        except (errors.InstabaseError, JournalError) as error:
            if opened.sandbox is None or not opened.sandbox.is_temporary:
                self.left_behind += [f"{folder} could not be removed: {error}{_SWEEP}" for folder in waiting]
        except asyncio.CancelledError:
            self.left_behind += [f"{folder} may be left: there was no time to remove it{_SWEEP}" for folder in waiting]
            raise

    async def _unload_models(self, client: Instabase) -> None:
        for model in self.ledger.of_kind("model"):
            try:
                await remove(client, model)
            except errors.InstabaseError as error:
                self.left_behind.append(f"the served model {model.name} could not be unloaded: {error}{_SWEEP}")
            else:
                await self.ledger.gone(model)

    async def _remove_folder(self, client: Instabase, folder: str) -> None:
        ledger = self.ledger
        entries = [entry for entry in ledger.of_kind("folder") if entry.name == folder]
        if not entries:  # it is an earlier session's; into one of this session's own no other process can have come
            others = ledger.journal.others(folder)
            if others:
                jobs = ", ".join(job.name or "(unknown)" for job in others)
                stays = f"{folder} stays for its other jobs, which were not continued ({jobs})"
                self.left_behind.append(f"{stays}{_SWEEP}")
                return
            entries = ledger.journal.folder(folder)
        for entry in entries or [ledger.journal.entry(ledger.environment, ledger.place, "folder", folder)]:
            await remove(client, entry)
        if not any(job.folder == folder for job in ledger.of_kind("job")):
            await ledger.gone(*entries)  # else a job that could not be ended may write into it again

    def _opened(self) -> _Opened | None:
        task = self._opening
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    async def _open_once(self) -> _Opened:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _read_candidates(self) -> list[Entry]:
        try:
            left = await asyncio.to_thread(self.ledger.left)
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

    async def _push(self, package: Package) -> RunContext:
        opened = await self._open_once()
        suffix = uuid.uuid4().hex
        folder = f"{opened.root}/{_TEST_FOLDER}/{package.name}_{suffix}"
        entry = await self.ledger.make("folder", folder)
        self._folders.append(folder)
        try:
            await push(opened.client, folder, package, self._clock, self.limits)
        except errors.InstabaseError as error:
            if isinstance(error, errors.AccessRefused) or not getattr(error, "reached", True):
                self._folders.remove(folder)  # it was never made
                await self.ledger.gone(entry)
            raise as_failure(error, UploadFailure) from error
        return RunContext(opened.client, folder, package, suffix[:8], self.database)

    async def _open(self) -> _Opened:
        resolved = self._resolved
        if resolved is None:
            raise ConfigFailure(self._broken)
        retrier = Retrier(self._clock)
        secrets = passwords(resolved.database.get_secret_value()) if resolved.database is not None else ()
        if resolved.is_embedded:
            sandbox = await EmbeddedSandbox.start(mounts=resolved.mounts, data=resolved.data)
            client = Instabase(sandbox.url, sandbox.token, retrier=retrier, secrets=secrets)
            return _Opened(client, resolved.path, sandbox)
        token = resolved.token or SecretStr("")
        try:
            client = Instabase(resolved.host, token, retrier=retrier, verify=resolved.verification, secrets=secrets)
        except errors.ClientSetupError as error:
            raise ConfigFailure(f"environment `{resolved.name}`: {error.reason}") from None
        try:
            await reach(client, resolved.path, self.limits, self._clock, self._place)
        except BaseException as error:
            await client.close()
            if isinstance(error, errors.InstabaseError):
                raise as_failure(error, EnvironmentUnavailable) from error
            raise
        return _Opened(client, resolved.path, None)


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
    if is_transient(error) or isinstance(error, errors.AccessRefused | errors.Redirected | errors.CertificateRefused):
        return EnvironmentUnavailable(str(error))
    if isinstance(error, errors.ClientSetupError):
        return ConfigFailure(str(error))
    return kind(str(error))
