"""Letting the model of a run take the place of the one in use, in its environment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import PromotionFailure
from pytest_ibmodels.engine.polling import LOOK_SECONDS, JobTimer
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import is_transient

if TYPE_CHECKING:
    from pytest_ibmodels.engine.clock import Clock
    from pytest_ibmodels.engine.limits import Limits
    from pytest_ibmodels.engine.routes.base import Route, RunContext
    from pytest_ibmodels.instabase.wire import JobStatus
    from pytest_ibmodels.spec import ModelTest


async def promoted(
    route: Route, place: RunContext, test: ModelTest, clock: Clock, limits: Limits, *, force: bool
) -> str:
    """Promote the model that the run trained in ``place``, and wait for it.

    Without ``force``, the environment refuses a model that is certainly worse than the one in use.

    Returns:
        A sentence of the environment on what is in use now; empty if nothing of this route is ever in use.

    Raises:
        PromotionFailure: it was not done, or the answer was lost.
    """
    redact = place.client.transport.redact
    try:
        job_id = await route.start_promotion(place, test, force=force)
        if job_id is None:
            return ""
        status = await _ended(place, job_id, clock, limits)
    except (errors.InstabaseError, TimeoutError) as error:
        raise PromotionFailure(f"the model was not promoted, as far as is known: {redact(str(error))}") from None
    if status.failure:
        raise PromotionFailure(f"the model was not promoted: {redact(status.failure)}")
    result = status.first_result.get("result")
    message = result.get("message") if isinstance(result, dict) else None
    return f"promoted: {redact(str(message or test.name))}"


async def _ended(place: RunContext, job_id: str, clock: Clock, limits: Limits) -> JobStatus:
    watch = JobTimer(clock, limits.longest_poll, limit=limits.inference, queue_limit=limits.queue)
    while True:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                status = await place.client.jobs.status(job_id, kind="async")
            if status.is_over:
                return status
            watch.saw()
        except (errors.InstabaseError, TimeoutError) as error:
            if isinstance(error, errors.InstabaseError) and not is_transient(error):
                raise
            watch.saw(queued=None)
        if watch.late:
            raise PromotionFailure(f"the model was not promoted within {limits.inference:g} s (job {job_id})")
        await watch.pause()
