"""Inference of one run: serve the trained model, predict documents again, compare with training's predictions."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import InferenceFailure, RunFailure, as_failure
from pytest_ibmodels.engine.jobs import CANCEL_SECONDS, log_tail
from pytest_ibmodels.engine.polling import POLL_TIMEOUT, JobTimer, LostResponses, poll_job
from pytest_ibmodels.engine.routes.base import InterruptedInference, RouteError
from pytest_ibmodels.instabase.errors import InstabaseError
from pytest_ibmodels.instabase.policy import REFINE
from pytest_ibmodels.verdicts.predictions import compare_predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.engine.polling import Limits
    from pytest_ibmodels.engine.routes.base import Route, RunContext
    from pytest_ibmodels.engine.session import EnvironmentSession
    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.predictions import Answer, PredictionsVerdict


_MAX_TRIES = 5


class Inference:
    """The inference of one run.

    Args:
        lost: counts lost answers.
        on_lost: called with the error of each lost answer; raises if the environment has ended.
        on_start: called once the served model is at work.
    """

    def __init__(
        self,
        run: Run,
        route: Route,
        context: RunContext,
        session: EnvironmentSession,
        limits: Limits,
        clock: Clock,
        lost: LostResponses,
        on_lost: Callable[[BaseException], None],
        on_start: Callable[[], None],
    ) -> None:
        self._run = run
        self._test = run.case.test
        self._route = route
        self._context = context
        self._session = session
        self._limits = limits
        self._clock = clock
        self._lost = lost
        self._on_lost = on_lost
        self._on_start = on_start

    async def verdict(self) -> PredictionsVerdict:
        """Run the inference and unload the model afterwards.

        Raises:
            RunFailure: the model could not be served.
        """
        begun = self._clock.now()
        context = self._context
        model_name = self._route.model_name(context, self._test)
        model = await self._session.journal.add("model", model_name, folder=context.folder)
        try:
            try:
                return await self._compare()
            except InstabaseError as error:
                raise as_failure(error, InferenceFailure) from error
            except RouteError as error:
                raise InferenceFailure(context.client.transport.redact(str(error))) from error
        except RunFailure:
            self._run.job_log = await log_tail(context.client, self._run.job_id)
            raise
        finally:
            self._run.seconds["inference"] = self._clock.now() - begun
            await self._unload(model)

    async def _compare(self) -> PredictionsVerdict:
        if self._run.predicted is None:
            self._run.predicted = await self._route.training_predictions(self._context, self._test)
        predicted = self._run.predicted.texts
        documents = _selected(list(predicted), self._test)
        if not documents:
            raise InferenceFailure("training wrote predictions for no document, so there is nothing to compare")
        answers = await self._answers(documents)
        verdict = compare_predictions({document: predicted[document] for document in documents}, answers)
        if verdict.nothing_answered:
            document, reason = next(iter(verdict.unanswered.items()))
            count = _count(documents, "document")
            raise InferenceFailure(f"the served model answered for none of {count}; for {document}: {reason}")
        return verdict

    async def _answers(self, documents: Sequence[str]) -> Mapping[str, Answer]:
        """The model's answers; a job that the environment interrupted is started again."""
        tries = 1
        while True:
            job_id = await self._route.start_inference(self._context, self._test, documents)
            self._on_start()
            self._run.progress.state = f"predicting {_count(documents, 'document')}"
            try:
                return await self._poll_answers(job_id, documents)
            except InterruptedInference as interrupted:
                if tries == _MAX_TRIES:
                    raise
                self._lost.add(interrupted)
                await self._clock.sleep(REFINE.pause(tries, interrupted, random.random()))  # noqa: S311 - no secret
            tries += 1

    async def _poll_answers(self, job_id: str, documents: Sequence[str]) -> Mapping[str, Answer]:
        limit = self._limits.inference
        timer = JobTimer(
            self._clock,
            self._limits.longest_poll,
            limit=limit,
            poll_timeout=max(POLL_TIMEOUT, self._route.answer_seconds),
            active_runs=self._session.active_runs,
        )

        async def poll() -> Mapping[str, Answer] | None:
            answers = await self._route.inference_answers(self._context, job_id, documents)
            timer.record_poll()
            return answers

        answers = await poll_job(poll, timer, self._on_lost)
        if answers is None:
            raise InferenceFailure(f"the {self._route.serves_with} did not end within {limit:g} s (job {job_id})")
        return answers

    async def _unload(self, model: Entry) -> None:
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._route.unload(self._context, self._test)
                await self._session.journal.remove(model)
        except (InstabaseError, TimeoutError) as error:
            reason = str(error) or f"no answer within {CANCEL_SECONDS:g} s"
            self._run.notes.append(f"the served model could not be unloaded: {reason}")


def _selected(documents: list[str], test: ModelTest) -> list[str]:
    wanted = test.inference.documents
    if wanted == "all":
        return documents
    return documents[: 1 if wanted == "first" else wanted]


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"
