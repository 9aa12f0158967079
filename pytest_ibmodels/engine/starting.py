"""Starting a training job, and never two: after a lost answer the environment is asked whether the job is there."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase.errors import ApiError, InstabaseError, UnexpectedAnswer
from pytest_ibmodels.instabase.policy import TRAIN, is_transient, is_uncertain

if TYPE_CHECKING:
    from pytest_ibmodels.engine.clock import Clock
    from pytest_ibmodels.engine.routes.base import Route, RunContext
    from pytest_ibmodels.spec import ModelTest


class Unaccounted(Exception):
    """The answer to a start was lost, and the environment cannot be asked whether it had its effect."""

    def __init__(self, lost: InstabaseError) -> None:
        super().__init__(str(lost))
        self.lost = lost


async def started(route: Route, place: RunContext, test: ModelTest, clock: Clock) -> str:
    """The id of the training job.

    Raises:
        InstabaseError: it was not accepted.
        Unaccounted: it may have been, and nobody can tell.
    """
    tries = 1
    while True:
        try:
            return await route.start(place, test)
        except InstabaseError as error:
            if not is_uncertain(error):
                raise
            lost = error
        await clock.sleep(TRAIN.pause(tries, lost, random.random()))  # noqa: S311 - it spreads cases, no more
        job_id = await _found(route, place, test, lost)
        if job_id is not None:
            return job_id
        if tries == TRAIN.tries:
            raise lost
        tries += 1


async def _found(route: Route, place: RunContext, test: ModelTest, lost: InstabaseError) -> str | None:
    try:
        jobs = await route.started(place, test)
    except (ApiError, UnexpectedAnswer) as error:
        if is_transient(error):
            raise
        raise Unaccounted(lost) from error
    return jobs[-1] if jobs else None
