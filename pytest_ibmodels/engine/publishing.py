"""Publishing a package on many environments at once, unpublishing it, and showing what is published.

A failure in one environment is its outcome and does not stop the others. The answer to a request does not decide: the
marketplace is read again afterwards (Instabase protocol, "Marketplace").
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from pytest_ibmodels.engine.connection import connect
from pytest_ibmodels.engine.failures import RunFailure
from pytest_ibmodels.engine.polling import JobTimer, poll_status
from pytest_ibmodels.instabase.clock import SystemClock
from pytest_ibmodels.instabase.errors import (
    AccessRefused,
    ApiError,
    ClientSetupError,
    EnvironmentUnavailable,
    InstabaseError,
)
from pytest_ibmodels.instabase.policy import PUBLISH
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.environment import EnvironmentJournal
from pytest_ibmodels.journal.store import Journal, JournalError
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.spec import SpecError, environment_warnings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.instabase.wire_sandbox import SandboxStatus
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment

    Notify = Callable[[str, str], None]
    """Called with an environment's name and a sentence on a delay there."""

T = TypeVar("T")

_JOB_SECONDS = 2400.0  # the timeout of the platform's own tools
_LONGEST_POLL = 5.0
_REMOVAL_SECONDS = 10.0


class State(StrEnum):
    """Outcome for a version on an environment."""

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
    """Outcome for one version on one environment.

    Attributes:
        reason: why it failed, in a sentence; else empty.
        notes: further sentences, such as on a file that could not be removed.
        is_success: whether the environment is in the requested state.
        seconds: duration.
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
    """State of an environment; None for what could not be found out.

    Attributes:
        host: the host; as written if its variables cannot be filled in.
        versions: published versions of the requested package.
        sandbox: status of a sandbox; None for other environments.
        problem: why something could not be found out, in a sentence; else empty.
    """

    name: str
    host: str
    is_reachable: bool | None = None
    is_token_accepted: bool | None = None
    versions: tuple[str, ...] | None = None
    sandbox: SandboxStatus | None = None
    problem: str = ""


@dataclass
class _PublishTask:
    """Publishes or unpublishes one version on one environment."""

    client: Instabase
    journal: EnvironmentJournal
    clock: Clock
    notify: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    requests: int = 0
    """Number of requests to publish, failed ones included."""

    async def retry(self, step: Callable[[], Awaitable[T]]) -> T:
        # The client sends each call once, since whole steps, such as publishing and polling its job, are retried.
        return await Retrier(self.clock, lambda _error, sentence: self.notify(sentence))(PUBLISH, step)

    async def has(self, name: str, version: str) -> bool:
        return version in await self.retry(lambda: self.client.marketplace.versions(name))

    async def publish(self, package: Package, root: str) -> State:
        """Upload and publish a package, and check that it is published.

        Raises:
            InstabaseError: the version is not published.
        """
        refusal: InstabaseError | None = None
        file = f"{uuid.uuid4().hex}.ibsolution"
        entry = await self.journal.add("file", f"{root}/{file}")
        try:
            await self.retry(lambda: self.client.drive.write(f"{root}/{file}", package.data))
            try:
                await self.retry(lambda: self._publish_once(f"{root}/{file}"))
            except InstabaseError as error:
                refusal = error
        finally:
            if await self._remove(root, file):
                await self.journal.remove(entry)
        if not await self.has(package.name, package.version):
            raise refusal or _wrong_answer("publish", f"{package.name} {package.version} is not in its marketplace")
        if isinstance(refusal, ApiError) and self.requests == 1:
            # Another publisher was faster; after a retry, the version may as well be that of our first request.
            self.notes.append(f"published in the meantime: {refusal}")
            return State.PRESENT
        return State.PUBLISHED

    async def unpublish(self, name: str, version: str) -> State:
        """Unpublish a version, and check that it is not published any more.

        Raises:
            InstabaseError: the version is still published.
        """
        refusal: InstabaseError | None = None
        try:
            await self.retry(lambda: self.client.marketplace.unpublish(name, version))
        except InstabaseError as error:
            refusal = error
        if await self.has(name, version):
            raise refusal or _wrong_answer("unpublish", f"{name} {version} is still in its marketplace")
        return State.UNPUBLISHED

    async def _publish_once(self, path: str) -> None:
        self.requests += 1
        job_id = await self.client.marketplace.publish(path)
        if job_id is None:
            return
        timer = JobTimer(self.clock, _LONGEST_POLL, limit=_JOB_SECONDS, poll_timeout=PUBLISH.seconds + PUBLISH.timeout)
        status = await poll_status(
            lambda: self.retry(lambda: self.client.jobs.status(job_id, kind="async")), timer, on_lost=_give_up
        )
        if status is None:
            raise ApiError(f"job {job_id}", f"publishing did not end within {_JOB_SECONDS:.0f} s")
        if status.failure:
            raise ApiError(f"job {job_id}", self.client.transport.redact(status.failure))

    async def _remove(self, root: str, file: str) -> bool:
        """Remove the uploaded file, even if the upload may have failed; return whether the file is gone."""
        drive = self.client.drive
        known = len(self.notes)
        try:
            async with asyncio.timeout(_REMOVAL_SECONDS):
                try:
                    await drive.delete(f"{root}/{file}")
                except ApiError as error:
                    # The upload may have failed, or the file may have been removed already.
                    if file in [node.name for node in await drive.list(root)]:
                        self.notes.append(f"left behind: {root}/{file} could not be removed: {error}")
        except TimeoutError:
            self.notes.append(f"left behind: {root}/{file} could not be removed within {_REMOVAL_SECONDS:.0f} s")
        except EnvironmentUnavailable as error:
            if error.reached:
                self.notes.append(f"left behind: {root}/{file} could not be removed: {error}")
        except InstabaseError:
            pass  # then the upload failed for the same reason
        return len(self.notes) == known


def _give_up(error: BaseException) -> None:
    """Raise the error of a poll that was retried in vain, since a user waits for the command."""
    raise error


def _wrong_answer(call: str, fact: str) -> ApiError:
    return ApiError(f"POST marketplace/{call}", f"it answered that all is well, but {fact}")


async def publish(
    environment: Environment,
    package: Package,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
    notify: Notify | None = None,
    journal: Journal | None = None,
) -> Outcome:
    """Publish a package on one environment unless this version is published there.

    A failure is an outcome, not an exception. With ``dry_run``, nothing is changed. ``journal`` holds the upload until
    it is deleted; None disables journaling.
    """

    async def act(task: _PublishTask, root: str) -> tuple[State, bool]:
        if await task.has(package.name, package.version):
            return State.PRESENT, True
        if dry_run:
            return State.WOULD_PUBLISH, True
        return await task.publish(package, root), True

    return await _run_task(environment, (package.name, package.version), act, not dry_run, clock, notify, journal)


async def unpublish(
    environment: Environment,
    name: str,
    version: str,
    *,
    missing_ok: bool = False,
    dry_run: bool = False,
    clock: Clock | None = None,
    notify: Notify | None = None,
) -> Outcome:
    """Unpublish a version of a package on one environment; as :func:`publish`.

    With ``missing_ok``, a version that is not published counts as success.
    """

    async def act(task: _PublishTask, _root: str) -> tuple[State, bool]:
        if not await task.has(name, version):
            if not missing_ok:
                task.notes.append("there is nothing to take back, which counts as a failure without --missing-ok")
            return State.ABSENT, missing_ok
        if dry_run:
            return State.WOULD_UNPUBLISH, True
        return await task.unpublish(name, version), True

    return await _run_task(environment, (name, version), act, not dry_run, clock, notify)


async def environment_facts(environment: Environment, package: str | None) -> EnvironmentFacts:
    """Find out whether an environment answers and accepts the token, and which versions of ``package`` it has.

    A sandbox is also asked for its status.
    """
    name, host = environment.name, environment.host
    sandbox, problem = None, ""
    try:
        async with connect(environment, changes=False) as connection:
            if not connection.is_embedded:
                host = connection.client.transport.host
            versions = await connection.client.marketplace.versions(package or "")
            try:
                sandbox = await connection.client.sandbox_status()
            except EnvironmentUnavailable as error:
                problem = _sentence(error)
    except EnvironmentUnavailable as error:
        return EnvironmentFacts(name, host, is_reachable=False, problem=_sentence(error))
    except AccessRefused as error:
        return EnvironmentFacts(name, host, is_reachable=True, is_token_accepted=False, problem=_sentence(error))
    except Exception as error:  # noqa: BLE001 - a fact of this environment; the others are shown
        answered = True if isinstance(error, InstabaseError) and not isinstance(error, ClientSetupError) else None
        return EnvironmentFacts(name, host, is_reachable=answered, problem=_sentence(error))
    found = versions if package is not None else None
    return EnvironmentFacts(
        name, host, is_reachable=True, is_token_accepted=True, versions=found, sandbox=sandbox, problem=problem
    )


async def _run_task(
    environment: Environment,
    version: tuple[str, str],
    act: Callable[[_PublishTask, str], Awaitable[tuple[State, bool]]],
    changes: bool,
    clock: Clock | None,
    notify: Notify | None,
    journal: Journal | None = None,
) -> Outcome:
    started = time.monotonic()
    notes: list[str] = []
    state, is_success, reason = State.FAILED, False, ""

    def notify_here(sentence: str) -> None:
        if notify is not None:
            notify(environment.name, sentence)

    try:
        async with connect(environment, changes=changes) as connection:
            entries = EnvironmentJournal(journal or Journal(None), environment.name, connection.identity)
            notes += [str(warning) for warning in environment_warnings(environment, os.environ)]
            task = _PublishTask(connection.client, entries, clock or SystemClock(), notify_here, notes)
            state, is_success = await act(task, connection.root)
            if connection.is_temporary and changes:
                notes.append("this sandbox is a temporary one, and gone again: `data` in its entry would keep it")
    except Exception as error:  # noqa: BLE001 - an outcome of this environment; the others are visited
        reason = _sentence(error)
    except asyncio.CancelledError:
        for note in notes:  # the outcome is never shown
            notify_here(note)
        raise
    seconds = time.monotonic() - started
    return Outcome(environment.name, *version, state, reason, tuple(notes), is_success, seconds)


def _sentence(error: Exception) -> str:
    text = redacted("; ".join(str(error).splitlines()))
    is_expected = isinstance(error, SpecError | RunFailure | InstabaseError | JournalError)
    return text if is_expected and text else f"{type(error).__name__}: {text}".removesuffix(": ")
