"""Continuing a training job of an earlier session instead of training again.

A job is continued if the process that started it is no longer alive, and it trains the same: model test, package
content, data set, config, route, in the same environment. Minimums and limits may differ: they are applied anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import TrainingFailure, as_failure
from pytest_ibmodels.engine.polling import is_lost
from pytest_ibmodels.engine.routes.base import RunContext
from pytest_ibmodels.instabase.errors import ApiError, InstabaseError
from pytest_ibmodels.journal.store import JournalError, TrainingJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.engine.routes.base import Route
    from pytest_ibmodels.engine.session import EnvironmentSession
    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import ModelTest


@dataclass(frozen=True)
class RunningJob:
    """A job to continue.

    Attributes:
        entry: its journal entry, which this process now owns.
        context: the run context of the job.
        age: seconds since the environment accepted the job.
    """

    entry: Entry
    context: RunContext
    age: float


async def fingerprint(
    session: EnvironmentSession, test: ModelTest, package: Package, route: Route, context: RunContext | None = None
) -> TrainingJob:
    """Fingerprint of the training of a model test, as the journal keeps it; with its names if ``context`` is given.

    Raises:
        RunFailure: the environment cannot be opened.
    """
    data = await route.fingerprint(test, session.database, session.file_marker)
    return TrainingJob(
        test=test.name,
        package=package.content_hash,
        dataset=data.name,
        marker=data.marker,
        config=test.config_hash,
        route=route.name,
        suffix=context.suffix if context is not None else "",
        model=route.model_name(context, test) if context is not None else "",
    )


def difference(old: TrainingJob, new: TrainingJob) -> str:
    """Reason why ``old`` does not train the same as ``new``, in a sentence; empty if it does."""
    if old.route != new.route:
        return f"it was trained by the route {old.route}"
    if old.package != new.package:
        return "the package's content has changed"
    if old.dataset != new.dataset:
        return "it was trained on another data set"
    if old.config != new.config:
        return "its config has changed"
    # The marker is empty if the environment does not report when a file was modified.
    if old.marker and new.marker and old.marker != new.marker:
        return "the data set was modified since then"
    return ""


async def find_running_job(
    session: EnvironmentSession,
    test: ModelTest,
    package: Package,
    route: Route,
    notes: list[str],
    siblings: Sequence[ModelTest] = (),
) -> RunningJob | None:
    """Find a job of an earlier session to continue, and take it over; None if there is none.

    If there is none, ``notes`` get a sentence for each job of this model test that is not continued. Jobs of the other
    repeats, ``siblings``, are left to these.

    Raises:
        RunFailure: the environment cannot be opened.
    """
    others = {one.config_hash for one in siblings}
    entries = [
        one
        for one in await session.orphaned_jobs()
        if one.job is not None and one.job.test == test.name and one.job.config not in others
    ]
    if not entries:
        return None
    wanted = await fingerprint(session, test, package, route)
    reasons: list[str] = []
    for entry in reversed(entries):  # the newest first
        found = await _take_over(session, entry, wanted, package, route)
        if isinstance(found, RunningJob):
            return found
        if found:
            reasons.append(f"job {entry.name or '(unknown)'} is not continued: {found}")
    notes.extend(reasons)
    return None


async def _take_over(
    session: EnvironmentSession, entry: Entry, wanted: TrainingJob, package: Package, route: Route
) -> RunningJob | str:
    """Take a job over, or return why not; the reason is empty if another process has the job."""
    job = entry.job
    if job is None or not job.accepted:
        return "the environment's answer to its start was never read"
    reason = difference(job, wanted)
    if reason:
        return reason
    context = RunContext(await session.client(), entry.folder, package, job.suffix, session.database, session.data.find)
    try:
        taken = await asyncio.to_thread(session.journal.take_over, entry)
    except JournalError as error:
        return str(error)
    if taken is None:
        return ""
    session.adopt(entry.folder)
    problem = await _problem(context, entry.name, route)
    if problem:
        await session.journal.remove(taken)
        return problem
    age = (datetime.now(UTC) - datetime.fromisoformat(job.accepted)).total_seconds()
    return RunningJob(taken, context, max(0.0, age))


async def _problem(context: RunContext, job_id: str, route: Route) -> str:
    """Reason why a job is of no use any more; empty if it runs, has ended well, or its status is not available."""
    try:
        state = await route.poll(context, job_id)
    except InstabaseError as error:
        if is_lost(error):
            return ""
        if isinstance(error, ApiError):
            return f"the environment does not know it any more ({error.reason})"
        raise as_failure(error, TrainingFailure) from error
    return f"it ended with an error ({context.client.transport.redact(state.error)})" if state.error else ""
