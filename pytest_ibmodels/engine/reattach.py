"""Going on with a training that an earlier session started, instead of training again.

A job is continued if a process made it that is no longer alive, and it trains the same: model test, package content,
data set, config, route, in the same environment. Minimums and limits are not part of it: they are held anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import TrainingFailure
from pytest_ibmodels.engine.routes.base import RunContext
from pytest_ibmodels.engine.session import as_failure
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import is_transient
from pytest_ibmodels.journal.store import JournalError, TrainingJob
from pytest_ibmodels.spec.databases import without_password

if TYPE_CHECKING:
    from pytest_ibmodels.engine.routes.base import Route
    from pytest_ibmodels.engine.session import EnvironmentSession
    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import ModelTest


@dataclass(frozen=True)
class Attached:
    """A job that is continued.

    Attributes:
        entry: its entry in the journal, which is this process's now.
        place: where it works.
        age: seconds since the environment accepted it.
    """

    entry: Entry
    place: RunContext
    age: float


async def described(
    session: EnvironmentSession, test: ModelTest, package: Package, route: Route, place: RunContext | None = None
) -> TrainingJob:
    """What a training of a model test trains, as the journal keeps it; with its names if it has a ``place``.

    Raises:
        RunFailure: the environment cannot be opened.
    """
    config = json.dumps(test.config, sort_keys=True, default=str)
    dataset = test.dataset
    if test.table is not None and session.database is not None:
        url = without_password(session.database.get_secret_value())
        dataset += f" of {hashlib.sha256(url.encode()).hexdigest()[:16]}"
    return TrainingJob(
        test=test.name,
        package=package.content_hash,
        dataset=dataset,
        marker=await session.dataset_marker(test.ibannotator) if test.ibannotator else "",
        config=hashlib.sha256(config.encode()).hexdigest(),
        route=route.name,
        suffix=place.suffix if place is not None else "",
        model=route.model_name(place, test) if place is not None else "",
    )


def what_differs(old: TrainingJob, new: TrainingJob) -> str:
    """Why ``old`` is not the training that ``new`` would be, in a sentence; empty if it is."""
    if old.route != new.route:
        return f"it was trained by the route {old.route}"
    if old.package != new.package:
        return "the package has another content now"
    if old.dataset != new.dataset:
        return "it was trained on another data set"
    if old.config != new.config:
        return "its config was another one"
    # An environment that cannot say when a file was modified says nothing about a change either.
    if old.marker and new.marker and old.marker != new.marker:
        return "the data set was modified since"
    return ""


async def reattached(
    session: EnvironmentSession, test: ModelTest, package: Package, route: Route, notes: list[str]
) -> Attached | None:
    """The job of an earlier session to go on with; None if there is none.

    If there is none, ``notes`` get a sentence for each job of this model test that is not continued.

    Raises:
        RunFailure: the environment cannot be opened.
    """
    mine = [entry for entry in await session.candidates() if entry.job is not None and entry.job.test == test.name]
    if not mine:
        return None
    wanted = await described(session, test, package, route)
    reasons: list[str] = []
    for entry in reversed(mine):  # the newest first
        attached = await _attached(session, entry, wanted, package, route)
        if isinstance(attached, Attached):
            return attached
        if attached:
            reasons.append(f"job {entry.name or '(unknown)'} is not continued: {attached}")
    notes.extend(reasons)
    return None


async def _attached(
    session: EnvironmentSession, entry: Entry, wanted: TrainingJob, package: Package, route: Route
) -> Attached | str:
    """The job, or why not; that is empty if another process has it."""
    job = entry.job
    if job is None or not job.accepted:
        return "the environment's answer to its start was never read"
    different = what_differs(job, wanted)
    if different:
        return different
    place = RunContext(await session.client(), entry.folder, package, job.suffix, session.database)
    try:
        taken = await asyncio.to_thread(session.ledger.take, entry)
    except JournalError as error:
        return str(error)
    if taken is None:
        return ""
    session.adopt(entry.folder)
    problem = await _problem(place, entry.name, route)
    if problem:
        await session.ledger.gone(taken)
        return problem
    age = (datetime.now(UTC) - datetime.fromisoformat(job.accepted)).total_seconds()
    return Attached(taken, place, max(0.0, age))


async def _problem(place: RunContext, job_id: str, route: Route) -> str:
    """Why nothing can come of a job any more; empty if it runs, has ended well, or cannot be seen at present."""
    try:
        state = await route.look(place, job_id)
    except errors.InstabaseError as error:
        if is_transient(error) or isinstance(error, errors.UnexpectedAnswer):
            return ""
        if isinstance(error, errors.ApiError):
            return f"the environment does not know it any more ({error.reason})"
        raise as_failure(error, TrainingFailure) from error
    return f"it ended with an error ({place.client.transport.redact(state.error)})" if state.error else ""
