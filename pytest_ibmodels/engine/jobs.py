"""Operations on jobs besides polling: submit a training, promote its model, cancel a job, read its log."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import PromotionFailure
from pytest_ibmodels.engine.polling import JobTimer, poll_status
from pytest_ibmodels.instabase.errors import ApiError, InstabaseError, UnexpectedAnswer
from pytest_ibmodels.instabase.policy import TRAIN, is_transient, is_uncertain

if TYPE_CHECKING:
    from pytest_ibmodels.engine.polling import Limits
    from pytest_ibmodels.engine.routes.base import Route, RunContext
    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.spec import ModelTest

CANCEL_SECONDS = 5.0

_LOG_LINES = 20
_LOG_SECONDS = 10.0


class UnknownStart(Exception):
    """The answer to a start was lost, and the environment cannot tell whether the job exists."""

    def __init__(self, lost: InstabaseError) -> None:
        super().__init__(str(lost))
        self.lost = lost


async def submit_training(route: Route, context: RunContext, test: ModelTest, clock: Clock) -> str:
    """Submit a training job, never twice: after a lost answer, look the job up before submitting it again.

    All tries have the same idempotency key: an environment that can look the job up may still be busy with the first.

    Returns:
        The id of the job.

    Raises:
        InstabaseError: the job was not accepted.
        UnknownStart: the job may have been accepted.
    """
    tries, context = 1, replace(context, start_key=uuid.uuid4().hex)
    while True:
        try:
            return await route.start_training(context, test)
        except InstabaseError as error:
            if not is_uncertain(error):
                raise
            lost = error
        await clock.sleep(TRAIN.pause(tries, lost, random.random()))  # noqa: S311 - only spreads the retries of cases
        job_id = await _find_job(route, context, test, lost)
        if job_id is not None:
            return job_id
        if tries == TRAIN.tries:
            raise lost
        tries += 1


async def _find_job(route: Route, context: RunContext, test: ModelTest, lost: InstabaseError) -> str | None:
    try:
        jobs = await route.training_jobs(context, test)
    except (ApiError, UnexpectedAnswer) as error:
        if is_transient(error):
            raise
        raise UnknownStart(lost) from error
    return jobs[-1] if jobs else None


async def promote_model(
    route: Route, context: RunContext, test: ModelTest, clock: Clock, limits: Limits, *, force: bool
) -> str:
    """Promote the model that was trained in ``context``, and wait until it is the model in use.

    Without ``force``, the environment refuses a model that is certainly worse than the one in use.

    Returns:
        The environment's sentence on the model in use; empty if the route has no models in use.

    Raises:
        PromotionFailure: the model was not promoted, or the answer was lost.
    """
    redact = context.client.transport.redact
    try:
        job_id = await route.start_promotion(context, test, force=force)
        if job_id is None:
            return ""
        timer = JobTimer(clock, limits.longest_poll, limit=limits.inference)
        status = await poll_status(lambda: context.client.jobs.status(job_id, kind="async"), timer)
    except (InstabaseError, TimeoutError) as error:
        raise PromotionFailure(f"the model was not promoted, as far as is known: {redact(str(error))}") from None
    if status is None:
        raise PromotionFailure(f"the model was not promoted within {limits.inference:g} s (job {job_id})")
    if status.failure:
        raise PromotionFailure(f"the model was not promoted: {redact(status.failure)}")
    result = status.first_result.get("result")
    message = result.get("message") if isinstance(result, dict) else None
    return f"promoted: {redact(str(message or test.name))}"


async def cancel_job(client: Instabase, job_id: str) -> bool:
    """Cancel a job and return whether it has ended. Never raises."""
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            return await client.jobs.cancel(job_id)
    except TimeoutError:
        return False


async def log_tail(client: Instabase, job_id: str | None) -> tuple[str, ...]:
    """The last lines of a job's log, or a line that says why there are none. Never raises."""
    if job_id is None:
        return ()
    try:
        async with asyncio.timeout(_LOG_SECONDS):
            entries = await client.jobs.log(job_id)
    except (InstabaseError, TimeoutError, ValueError) as error:
        return (f"(the environment gave no log: {error})",)
    return tuple(client.transport.redact(entry.log) for entry in entries[-_LOG_LINES:])
