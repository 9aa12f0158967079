"""Running the served model on documents that training predicted, and comparing what it answers."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import InferenceFailure, PredictionsFailure
from pytest_ibmodels.engine.lost_responses import (
    LostResponses,
    asked_to_wait,
    is_lost,
)
from pytest_ibmodels.engine.polling import LOOK_SECONDS, JobTimer
from pytest_ibmodels.engine.routes.base import InterruptedInference
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import REFINE
from pytest_ibmodels.verdicts.predictions import compare_predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.engine.clock import Clock
    from pytest_ibmodels.engine.limits import Limits
    from pytest_ibmodels.engine.routes.base import Route, RunContext
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.predictions import Answer, PredictionsVerdict


_MOST_TRIES = 5


class Serving:
    """The inference of one run.

    Args:
        losses: counts the answers that are lost.
        check_alive: raises if the environment has ended.
        active_runs: how many runs are at work there.
        started: is called once the served model is at work.
    """

    def __init__(
        self,
        run: Run,
        route: Route,
        place: RunContext,
        limits: Limits,
        clock: Clock,
        losses: LostResponses,
        check_alive: Callable[[], None],
        active_runs: Callable[[], int],
        started: Callable[[], None],
    ) -> None:
        self._run = run
        self._test = run.case.test
        self._route = route
        self._place = place
        self._limits = limits
        self._clock = clock
        self._losses = losses
        self._check_alive = check_alive
        self._crowd = active_runs
        self._started = started

    async def verdict(self) -> PredictionsVerdict:
        """What comparing gave.

        Raises:
            RunFailure: the model could not be served, or predicts otherwise.
            InstabaseError: a call failed.
            RouteError: what came has not the form that it should have.
        """
        predicted = await self._route.training_predictions(self._place, self._test)
        self._run.predictions = predicted
        documents = _wanted(list(predicted), self._test)
        if not documents:
            raise InferenceFailure("training wrote predictions for no document, so there is nothing to compare")
        answers = await self._answers(documents)
        verdict = compare_predictions({document: predicted[document] for document in documents}, answers)
        if verdict.passed:
            return verdict
        if verdict.nothing_answered:
            document, reason = next(iter(verdict.unanswered.items()))
            count = _count(documents, "document")
            raise InferenceFailure(f"the served model answered for none of {count}; for {document}: {reason}")
        raise PredictionsFailure(_what_differs(verdict), verdict)

    async def _answers(self, documents: Sequence[str]) -> Mapping[str, Answer]:
        """What the model answered; a job that the environment interrupted is begun again."""
        tries = 1
        while True:
            job_id = await self._route.start_inference(self._place, self._test, documents)
            self._started()
            self._run.progress.state = f"predicting {_count(documents, 'document')}"
            try:
                return await self._await_answers(job_id, documents)
            except InterruptedInference as interrupted:
                if tries == _MOST_TRIES:
                    raise
                self._losses.add(interrupted)
                await self._clock.sleep(REFINE.pause(tries, interrupted, random.random()))  # noqa: S311 - no secret
            tries += 1

    async def _await_answers(self, job_id: str, documents: Sequence[str]) -> Mapping[str, Answer]:
        limit = self._limits.inference
        longest = max(LOOK_SECONDS, self._route.answer_seconds)
        watch = JobTimer(
            self._clock, self._limits.longest_poll, limit=limit, longest_look=longest, active_runs=self._crowd
        )
        while True:
            asked = 0.0
            try:
                async with asyncio.timeout(longest):
                    answers = await self._route.inference_answers(self._place, job_id, documents)
                if answers is not None:
                    return answers
                watch.saw()
            except (errors.InstabaseError, TimeoutError) as error:
                if not is_lost(error):
                    raise
                self._check_alive()
                self._losses.add(error)
                watch.saw(queued=None)
                asked = asked_to_wait(error)
            if watch.late:
                what = "Refiner" if self._test.table is None else "served model"
                raise InferenceFailure(f"the {what} did not end within {limit:g} s (job {job_id})")
            await watch.pause(asked)


def _wanted(documents: list[str], test: ModelTest) -> list[str]:
    wanted = test.inference.documents
    if wanted == "all":
        return documents
    return documents[: 1 if wanted == "first" else wanted]


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _what_differs(verdict: PredictionsVerdict) -> str:
    parts = []
    if verdict.differences:
        parts.append(f"{len(verdict.differences)} of {verdict.fields_compared} fields differ from training")
    if verdict.unanswered:
        parts.append(f"{len(verdict.unanswered)} of {len(verdict.documents)} documents got no prediction")
    return " and ".join(parts)
