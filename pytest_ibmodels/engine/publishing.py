"""Publishing a package on many environments at once, taking it back, and looking at what is there.

Each environment is visited on its own: what fails there is its outcome, and does not stop the others. An answer of OK
is not believed: the marketplace is read again afterwards, and that decides (protocol: 6 and 12.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from pytest_ibmodels.engine.clock import SystemClock, poll_interval
from pytest_ibmodels.engine.connection import connected
from pytest_ibmodels.engine.failures import RunFailure
from pytest_ibmodels.instabase import policy
from pytest_ibmodels.instabase.errors import (
    AccessRefused,
    ApiError,
    ClientSetupError,
    EnvironmentUnavailable,
    InstabaseError,
)
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.environment import EnvironmentJournal
from pytest_ibmodels.journal.store import Journal, JournalError
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.spec import SpecError, environment_warnings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pytest_ibmodels.engine.clock import Clock
    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment

    Tell = Callable[[str, str], None]
    """Called with an environment's name and a sentence on what takes long there."""

T = TypeVar("T")

_JOB_SECONDS = 2400.0  # as long as the platform's own tools wait
_LONGEST_POLL = 5.0
_REMOVAL_SECONDS = 10.0


class State(StrEnum):
    """What became of a version on an environment."""

    PUBLISHED = "published"
    PRESENT = "already there"
    WOULD_PUBLISH = "would be published"
    UNPUBLISHED = "unpublished"
    ABSENT = "not there"
    WOULD_UNPUBLISH = "would be unpublished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Outcome:
    """What became of one version on one environment.

    Attributes:
        reason: why it failed, in a sentence; empty if it did not.
        notes: sentences on what else there is to know, such as a file that could not be removed.
        is_success: whether the environment is as it was meant to be.
        seconds: that the environment took.
    """

    environment: str
    package: str
    version: str
    state: State
    reason: str = ""
    notes: tuple[str, ...] = ()
    is_success: bool = True
    seconds: float = 0.0


@dataclass(frozen=True)
class EnvironmentFacts:
    """What one look at an environment showed; None is what could not be seen.

    Attributes:
        host: as it is written, if its variables cannot be filled in.
        versions: of the package that was asked for.
        problem: why something could not be seen, in a sentence.
    """

    name: str
    host: str
    is_reachable: bool | None = None
    is_token_accepted: bool | None = None
    versions: tuple[str, ...] | None = None
    problem: str = ""


@dataclass
class _PublishTask:
    """One version on its way to or from one environment."""

    client: Instabase
    ledger: EnvironmentJournal
    clock: Clock
    tell: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    requests: int = 0
    """To publish, whatever came of them."""

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        # The client of an errand sends each call once: a step of an errand, such as publishing and then waiting for the
        # job of it, is what is done again as a whole.
        return await Retrier(self.clock, lambda _error, sentence: self.tell(sentence))(policy.PUBLISH, call)

    async def has(self, name: str, version: str) -> bool:
        return version in await self.patiently(lambda: self.client.marketplace.versions(name))

    async def publish(self, package: Package, root: str) -> State:
        """Upload, publish, and see that it is there.

        Raises:
            InstabaseError: it is not.
        """
        refusal: InstabaseError | None = None
        file = f"{uuid.uuid4().hex}.ibsolution"
        entry = await self.ledger.make("file", f"{root}/{file}")
        try:
            await self.patiently(lambda: self.client.drive.write(f"{root}/{file}", package.data))
            try:
                await self.patiently(lambda: self._publish_once(f"{root}/{file}"))
            except InstabaseError as error:
                refusal = error
        finally:
            if await self._remove(root, file):
                await self.ledger.gone(entry)
        if not await self.has(package.name, package.version):
            raise refusal or _not_believed("publish", f"{package.name} {package.version} is not in its marketplace")
        if isinstance(refusal, ApiError) and self.requests == 1:
            # Somebody else was faster. After a second request it may as well have been our first one.
            self.notes.append(f"published in the meantime: {refusal}")
            return State.PRESENT
        return State.PUBLISHED

    async def unpublish(self, name: str, version: str) -> State:
        """Take a version back, and see that it is gone.

        Raises:
            InstabaseError: it is not.
        """
        refusal: InstabaseError | None = None
        try:
            await self.patiently(lambda: self.client.marketplace.unpublish(name, version))
        except InstabaseError as error:
            refusal = error
        if await self.has(name, version):
            raise refusal or _not_believed("unpublish", f"{name} {version} is still in its marketplace")
        return State.UNPUBLISHED

    async def _publish_once(self, path: str) -> None:
        self.requests += 1
        job_id = await self.client.marketplace.publish(path)
        if job_id is None:
            return
        started = self.clock.now()
        while True:
            status = await self.patiently(lambda: self.client.jobs.status(job_id, kind="async"))
            if status.failure:
                raise ApiError(f"job {job_id}", self.client.transport.redact(status.failure))
            if status.is_over:
                return
            waited = self.clock.now() - started
            if waited > _JOB_SECONDS:
                raise ApiError(f"job {job_id}", f"publishing did not end within {_JOB_SECONDS:.0f} s")
            await self.clock.sleep(poll_interval(waited, _LONGEST_POLL))

    async def _remove(self, root: str, file: str) -> bool:
        """Remove the uploaded file, also if it is not known whether it got there; false if it may be there still."""
        drive = self.client.drive
        known = len(self.notes)
        try:
            async with asyncio.timeout(_REMOVAL_SECONDS):
                try:
                    await drive.delete(f"{root}/{file}")
                except ApiError as error:
                    # It may never have got there, or have been taken away already.
                    if file in [node.name for node in await drive.list(root)]:
                        self.notes.append(f"left behind: {root}/{file} could not be removed: {error}")
        except TimeoutError:
            self.notes.append(f"left behind: {root}/{file} could not be removed within {_REMOVAL_SECONDS:.0f} s")
        except EnvironmentUnavailable as error:
            if error.reached:
                self.notes.append(f"left behind: {root}/{file} could not be removed: {error}")
        except InstabaseError:
            pass  # nor could it be written, or even be seen
        return len(self.notes) == known


def _not_believed(call: str, what: str) -> ApiError:
    return ApiError(f"POST marketplace/{call}", f"it answered that all is well, but {what}")


async def publish(
    environment: Environment,
    package: Package,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
    tell: Tell | None = None,
    journal: Journal | None = None,
) -> Outcome:
    """Publish a package on one environment, unless this version is there; with ``dry_run`` only look.

    Whatever fails is an outcome, not an exception. The file that is uploaded for it stands in ``journal`` until it is
    removed.
    """

    async def act(errand: _PublishTask, root: str) -> tuple[State, bool]:
        if await errand.has(package.name, package.version):
            return State.PRESENT, True
        if dry_run:
            return State.WOULD_PUBLISH, True
        return await errand.publish(package, root), True

    return await _run_errand(environment, (package.name, package.version), act, not dry_run, clock, tell, journal)


async def unpublish(
    environment: Environment,
    name: str,
    version: str,
    *,
    missing_ok: bool = False,
    dry_run: bool = False,
    clock: Clock | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Take a version of a package back from one environment; as :func:`publish`.

    With ``missing_ok`` it is a success if the version is not there.
    """

    async def act(errand: _PublishTask, _root: str) -> tuple[State, bool]:
        if not await errand.has(name, version):
            if not missing_ok:
                errand.notes.append("there is nothing to take back, which counts as a failure without --missing-ok")
            return State.ABSENT, missing_ok
        if dry_run:
            return State.WOULD_UNPUBLISH, True
        return await errand.unpublish(name, version), True

    return await _run_errand(environment, (name, version), act, not dry_run, clock, tell)


async def look(environment: Environment, package: str | None) -> EnvironmentFacts:
    """Whether an environment answers and accepts the token, and which versions of ``package`` are there."""
    name, host = environment.name, environment.host
    try:
        async with connected(environment, changes=False) as connection:
            if not connection.is_embedded:
                host = connection.client.transport.host
            versions = await connection.client.marketplace.versions(package or "")
    except EnvironmentUnavailable as error:
        return EnvironmentFacts(name, host, is_reachable=False, problem=_sentence(error))
    except AccessRefused as error:
        return EnvironmentFacts(name, host, is_reachable=True, is_token_accepted=False, problem=_sentence(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other environments are shown
        answered = True if isinstance(error, InstabaseError) and not isinstance(error, ClientSetupError) else None
        return EnvironmentFacts(name, host, is_reachable=answered, problem=_sentence(error))
    seen = versions if package is not None else None
    return EnvironmentFacts(name, host, is_reachable=True, is_token_accepted=True, versions=seen)


async def _run_errand(
    environment: Environment,
    version: tuple[str, str],
    act: Callable[[_PublishTask, str], Awaitable[tuple[State, bool]]],
    changes: bool,
    clock: Clock | None,
    tell: Tell | None,
    journal: Journal | None = None,
) -> Outcome:
    started = time.monotonic()
    notes: list[str] = []
    state, is_success, reason = State.FAILED, False, ""

    def tell_here(sentence: str) -> None:
        if tell is not None:
            tell(environment.name, sentence)

    try:
        async with connected(environment, changes=changes) as connection:
            ledger = EnvironmentJournal(journal or Journal(None), environment.name, connection.place)
            notes += [str(warning) for warning in environment_warnings(environment, os.environ)]
            errand = _PublishTask(connection.client, ledger, clock or SystemClock(), tell_here, notes)
            state, is_success = await act(errand, connection.root)
            if connection.is_temporary and changes:
                notes.append("this sandbox is a temporary one, and gone again: `data` in its entry would keep it")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this environment's, and the others are visited
        reason = _sentence(error)
    except asyncio.CancelledError:
        for note in notes:  # nobody will get the outcome
            tell_here(note)
        raise
    seconds = time.monotonic() - started
    return Outcome(environment.name, *version, state, reason, tuple(notes), is_success, seconds)


def _sentence(error: Exception) -> str:
    told = redacted("; ".join(str(error).splitlines()))
    expected = isinstance(error, SpecError | RunFailure | InstabaseError | JournalError)
    return told if expected and told else f"{type(error).__name__}: {told}".removesuffix(": ")


def for_each_environment(
    environments: Sequence[Environment], visit: Callable[[Environment], Awaitable[T]]
) -> tuple[Mapping[str, T], bool]:
    """Visit all environments at once, in an event loop of its own.

    Ctrl-C and SIGTERM end the visits, which tidy up.

    Returns:
        Environment → the visit's result, of those that ended by themselves; and whether it was interrupted.
    """
    results: dict[str, T] = {}

    async def visit_one(environment: Environment) -> None:
        results[environment.name] = await visit(environment)

    async def visit_all() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs is run by a task
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # only the main thread gets signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with asyncio.TaskGroup() as group:
            for environment in environments:
                group.create_task(visit_one(environment))

    try:
        asyncio.run(visit_all())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return results, True
    return results, False
