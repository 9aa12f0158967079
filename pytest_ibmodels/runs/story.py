"""The story of one run: push, train, judge the metrics; serve, predict, judge the predictions."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase import errors
from pytest_ibmodels.runs.brake import Brake
from pytest_ibmodels.runs.case import Progress, Run
from pytest_ibmodels.runs.clock import poll_interval
from pytest_ibmodels.runs.environment import as_failure
from pytest_ibmodels.runs.failures import (
    InferenceFailure,
    MetricsFailure,
    NotTrained,
    PredictionsFailure,
    RunFailure,
    SubmitFailure,
    TimeLimitFailure,
    TrainingFailure,
)
from pytest_ibmodels.runs.routes.base import RouteError
from pytest_ibmodels.verdicts.metrics import MetricsVerdict, check_metrics
from pytest_ibmodels.verdicts.predictions import PredictionsVerdict, compare_predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.runs.clock import Clock
    from pytest_ibmodels.runs.environment import EnvironmentSession
    from pytest_ibmodels.runs.limits import Limits
    from pytest_ibmodels.runs.routes.base import Route, TrainingState, Workplace
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.predictions import Answer

_LOG_LINES = 20
_LOOK_SECONDS = 30.0
_CANCEL_SECONDS = 5.0
_LOG_SECONDS = 10.0


class Story:
    """Tells one run from start to end; its futures are set, whatever happens.

    Args:
        number: of the run in this session; it makes the names unique that the run uses in the environment.
    """

    def __init__(
        self,
        run: Run,
        number: int,
        session: EnvironmentSession,
        route: Route,
        package: Package,
        limits: Limits,
        clock: Clock,
        brake: Brake | None = None,
    ) -> None:
        self._run = run
        self._number = number
        self._test = run.case.test
        self._session = session
        self._route = route
        self._package = package
        self._limits = limits
        self._clock = clock
        self._brake = brake or Brake()
        self._job_ended = False
        self._lost = 0
        self._waited = self._last_queued = 0.0

    async def tell(self) -> None:
        run = self._run
        run.started = datetime.now(UTC)
        begun = self._clock.now()
        try:
            while not run.training.done():
                if self._brake.holds(run):
                    await run.wanted.wait()
                async with self._session.slots:
                    if self._brake.holds(run):
                        continue  # and let go of the place for a run that is waited for
                    self._waited = self._clock.now() - begun
                    metrics = await self._training()
                    run.finished = datetime.now(UTC)
                    run.training.set_result(metrics)
            if run.case.with_inference:
                predictions = await self._inference()
                run.finished = datetime.now(UTC)
                run.inference.set_result(predictions)
        except RunFailure as failure:
            self._fail(failure)
        except asyncio.CancelledError:
            run.training.cancel()
            run.inference.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours: the items show it with its traceback
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        run = self._run
        run.finished = datetime.now(UTC)
        self._brake.failed()
        if run.training.done():
            run.inference.set_exception(error)
            return
        run.training.set_exception(error)
        run.inference.set_exception(NotTrained(error) if isinstance(error, RunFailure) else error)

    async def _place(self) -> Workplace:
        place = await self._session.workplace(self._package)
        self._run.host = place.client.transport.host
        return replace(place, suffix=f"{place.suffix}_{self._number}")

    # --- training ---

    async def _training(self) -> MetricsVerdict:
        self._enter("training", "pushing the code")
        begun = self._clock.now()
        place = await self._place()
        self._run.seconds["upload"] = self._clock.now() - begun
        self._run.seconds["queue"] = self._waited
        job_id = self._run.job_id = await self._submit(place)
        accepted = self._clock.now()
        self._link(place, "job log")
        self._enter("training", "accepted")
        try:
            state = await self._await_training(place, job_id, accepted)
            self._run.metrics = state.metrics
            verdict = self._judged(state)
        except BaseException as failure:
            await self._give_up(place, job_id, failure)
            raise
        finally:
            begun = max(accepted, self._last_queued)
            self._run.seconds["queue"] += begun - accepted
            self._run.seconds["training"] = self._clock.now() - begun
        self._run.job_log = await self._log_tail(place)
        return verdict

    def _judged(self, state: TrainingState) -> MetricsVerdict:
        verdict = check_metrics(state.metrics, _minimums(self._test))
        if not verdict.passed:
            raise MetricsFailure(verdict.what_failed, verdict)
        return verdict

    async def _submit(self, place: Workplace) -> str:
        submitting = asyncio.create_task(self._route.start(place, self._test))
        try:
            # Shielded: a job whose answer nobody reads would train on, and nobody would know its id.
            return await asyncio.shield(submitting)
        except errors.InstabaseError as error:
            raise as_failure(error, SubmitFailure) from error
        except asyncio.CancelledError as cancelled:
            with contextlib.suppress(errors.InstabaseError):
                await self._give_up(place, await submitting, cancelled)
            raise

    async def _await_training(self, place: Workplace, job_id: str, accepted: float) -> TrainingState:
        limit = self._test.time_limit
        while True:
            state = await self._look(place, job_id)
            waited = self._clock.now() - accepted
            if state is not None:
                self._saw(state)
                if state.error:
                    redact = place.client.transport.redact
                    raise TrainingFailure(redact(state.error), redact(state.job_traceback))
                if state.finished:
                    return state
            if waited >= limit:
                raise TimeLimitFailure(self._over(limit, state), limit=limit, waited=waited, cancelled=False)
            interval = poll_interval(waited, self._limits.longest_poll)
            await self._clock.sleep(min(interval, limit - waited))

    def _saw(self, state: TrainingState) -> None:
        self._run.progress.state = state.name
        self._run.progress.fraction = state.fraction
        self._run.history.saw(state.fraction, state.metrics, state.history)
        self._job_ended = state.finished
        if state.queued:
            self._last_queued = self._clock.now()

    async def _look(self, place: Workplace, job_id: str) -> TrainingState | None:
        """One look at the job; None if the answer was lost on the way, which is no reason to give up a training."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                state = await self._route.look(place, job_id)
        except (errors.EnvironmentUnavailable, errors.UnexpectedAnswer, TimeoutError) as error:
            self._session.check_alive()
            self._lost += 1
            self._run.notes[:] = [f"{self._lost} answers about job {job_id} were lost, the last one so: {error}"]
            return None
        except errors.InstabaseError as error:
            raise as_failure(error, TrainingFailure) from error
        return state

    def _over(self, limit: float, state: TrainingState | None) -> str:
        reason = f"the job did not end within the time_limit of {limit:g} s"
        if state is not None:
            percent = "" if state.fraction is None else f", {state.fraction:.0%} done"
            reason += f"; its last state was {state.name}{percent}"
        return reason

    async def _give_up(self, place: Workplace, job_id: str, failure: BaseException) -> None:
        if not self._job_ended:
            cancelled = await self._cancel(place, job_id)
            if isinstance(failure, TimeLimitFailure):
                failure.cancelled = cancelled
            if cancelled:
                self._run.notes.append(f"job {job_id} was cancelled")
            else:
                note = f"job {job_id} could not be cancelled on {self._run.case.environment}, and may go on there"
                self._run.notes.append(note)
                self._session.left_behind.append(note)
        if isinstance(failure, RunFailure):
            self._run.job_log = await self._log_tail(place)

    async def _cancel(self, place: Workplace, job_id: str) -> bool:
        try:
            async with asyncio.timeout(_CANCEL_SECONDS):
                return await place.client.jobs.cancel(job_id)
        except TimeoutError:
            return False

    async def _log_tail(self, place: Workplace) -> tuple[str, ...]:
        if self._run.job_id is None:
            return ()
        try:
            async with asyncio.timeout(_LOG_SECONDS):
                entries = await place.client.jobs.log(self._run.job_id)
        except (errors.InstabaseError, TimeoutError, ValueError) as error:
            return (f"(the environment gave no log: {error})",)
        return tuple(place.client.transport.redact(entry.log) for entry in entries[-_LOG_LINES:])

    # --- inference ---

    async def _inference(self) -> PredictionsVerdict:
        self._enter("inference", "serving the model")
        begun = self._clock.now()
        place = await self._place()
        try:
            try:
                return await self._served(place)
            except errors.InstabaseError as error:
                raise as_failure(error, InferenceFailure) from error
            except RouteError as error:
                raise InferenceFailure(place.client.transport.redact(str(error))) from error
        except RunFailure:
            self._run.job_log = await self._log_tail(place)
            raise
        finally:
            self._run.seconds["inference"] = self._clock.now() - begun
            await self._leave(place)

    async def _served(self, place: Workplace) -> PredictionsVerdict:
        predicted = await self._route.training_predictions(place, self._test)
        self._run.predictions = predicted
        documents = _wanted(list(predicted), self._test)
        if not documents:
            raise InferenceFailure("training wrote predictions for no document, so there is nothing to compare")
        job_id = await self._route.start_inference(place, self._test, documents)
        self._link(place, "Refiner")
        self._run.progress.state = f"predicting {_count(documents, 'document')}"
        answers = await self._await_answers(place, job_id, documents)
        verdict = compare_predictions({document: predicted[document] for document in documents}, answers)
        if verdict.passed:
            return verdict
        if verdict.nothing_answered:
            document, reason = next(iter(verdict.unanswered.items()))
            count = _count(documents, "document")
            raise InferenceFailure(f"the served model answered for none of {count}; for {document}: {reason}")
        raise PredictionsFailure(_what_differs(verdict), verdict)

    async def _await_answers(self, place: Workplace, job_id: str, documents: Sequence[str]) -> Mapping[str, Answer]:
        started = self._clock.now()
        while True:
            with contextlib.suppress(errors.EnvironmentUnavailable, errors.UnexpectedAnswer):
                answers = await self._route.inference_answers(place, job_id, documents)
                if answers is not None:
                    return answers
            self._session.check_alive()
            waited = self._clock.now() - started
            if waited > self._limits.inference:
                limit = f"{self._limits.inference:g} s"
                raise InferenceFailure(f"the Refiner did not end within {limit} (job {job_id})")
            await self._clock.sleep(poll_interval(waited, self._limits.longest_poll))

    async def _leave(self, place: Workplace) -> None:
        try:
            async with asyncio.timeout(_CANCEL_SECONDS):
                await self._route.leave(place, self._test)
        except (errors.InstabaseError, TimeoutError) as error:
            self._run.notes.append(f"the served model could not be unloaded: {error}")

    def _link(self, place: Workplace, page: str) -> None:
        # The pages of a sandbox of ours end with it.
        if self._run.job_id is not None and not self._session.is_embedded:
            self._run.links[page] = self._route.pages(place, self._test, self._run.job_id)[page]

    def _enter(self, phase: str, state: str) -> None:
        self._run.progress = Progress(phase=phase, state=state, since=self._clock.now())


def _wanted(documents: list[str], test: ModelTest) -> list[str]:
    wanted = test.inference.documents
    if wanted == "all":
        return documents
    return documents[: 1 if wanted == "first" else wanted]


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _minimums(test: ModelTest) -> dict[str, dict[str, float]]:
    return {metric: {name: least.min for name, least in fields.items()} for metric, fields in test.metrics.items()}


def _what_differs(verdict: PredictionsVerdict) -> str:
    parts = []
    if verdict.differences:
        parts.append(f"{len(verdict.differences)} of {verdict.fields_compared} fields differ from training")
    if verdict.unanswered:
        parts.append(f"{len(verdict.unanswered)} of {len(verdict.documents)} documents got no prediction")
    return " and ".join(parts)
