"""Running one case: train and judge the metrics, then serve and judge the predictions."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.case import FailureLimit, Progress, Run
from pytest_ibmodels.engine.failures import (
    EnvironmentUnavailable,
    NotTrained,
    RunFailure,
    SubmitFailure,
    TimeLimitFailure,
    TrainingFailure,
    as_failure,
    verdict_failure,
)
from pytest_ibmodels.engine.inference import Inference
from pytest_ibmodels.engine.jobs import UnknownStart, cancel_job, log_tail, promote_model, submit_training
from pytest_ibmodels.engine.judging import judge_training, read_predictions, time_limit_failure
from pytest_ibmodels.engine.polling import JobTimer, LostResponses, poll_job
from pytest_ibmodels.engine.reattach import find_running_job, fingerprint
from pytest_ibmodels.engine.repeats import siblings, train_all, trained_test
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import WORKER_RESTARTED
from pytest_ibmodels.instabase.retrying import ON_RETRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.engine.polling import Limits
    from pytest_ibmodels.engine.routes.base import Route, RunContext, TrainingState
    from pytest_ibmodels.engine.session import EnvironmentSession
    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict

_MAX_RESTARTS = 5
_MAX_UNKNOWN_STARTS = 3  # each may be a training that runs on


class CaseRunner:
    """Runs one case from start to end and sets the run's futures, whatever happens.

    Args:
        number: number of the run in this session; makes its names in the environment unique.
        repeats: runners of the case's other repeats, in the order of ``run.repeats``.
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
        failure_limit: FailureLimit | None = None,
        repeats: Sequence[CaseRunner] = (),
    ) -> None:
        self._run = run
        self._number = number
        self._test = trained_test(run.case)
        self._session = session
        self._route = route
        self._package = package
        self._limits = limits
        self._clock = clock
        self._failure_limit = failure_limit or FailureLimit()
        self._repeats = repeats
        self._run_context: RunContext | None = None
        self._job_entry: Entry | None = None
        self._job_ended = False
        self._lost = LostResponses(run)
        self._waited = 0.0

    async def run(self) -> None:
        """Run the case to its end. Raises only CancelledError."""
        run = self._run
        ON_RETRY.set(lambda error, _sentence: self._on_lost(error))
        begun = self._clock.now()
        try:
            metrics = await train_all(run, [self.train, *(repeat.train for repeat in self._repeats)])
            run.finished = datetime.now(UTC)
            run.training.set_result(metrics)
            failure = verdict_failure(metrics)
            if failure is not None:
                self._failure_limit.count_failure()
                run.inference.set_exception(NotTrained(failure))
            elif run.case.with_inference:
                with self._session.at_work():
                    predictions = await self._infer()
                run.finished = datetime.now(UTC)
                run.inference.set_result(predictions)
                if not predictions.passed:
                    self._failure_limit.count_failure()
        except RunFailure as error:
            self._fail(error)
        except asyncio.CancelledError:
            if run.expired:
                limit = self._test.time_limit
                self._fail(TimeLimitFailure(run.expired, limit=limit, waited=self._clock.now() - begun, cancelled=True))
                return
            run.training.cancel()
            run.inference.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - a bug of this plugin: the items show it with its traceback
            self._fail(error)

    async def train(self) -> MetricsVerdict:
        """Train once a slot is free and the failure limit does not block the run. Raises: RunFailure."""
        run = self._run
        run.started = datetime.now(UTC)
        ON_RETRY.set(lambda error, _sentence: self._on_lost(error))
        begun = self._clock.now()
        while True:
            if self._failure_limit.blocks(run):
                await run.wanted.wait()
            async with self._session.slots:
                if self._failure_limit.blocks(run):
                    continue  # and leave the slot to a run that an item waits for
                self._waited = self._clock.now() - begun
                with self._session.at_work():
                    metrics = await self._train()
                run.finished = datetime.now(UTC)
                return metrics

    async def promote(self, *, force: bool) -> None:
        """Promote the trained model and add a note on it. Raises: PromotionFailure."""
        context = await self._context()
        sentence = await promote_model(self._route, context, self._test, self._clock, self._limits, force=force)
        if sentence:
            self._run.notes.append(sentence + self._session.models_note)

    def _on_lost(self, error: BaseException) -> None:
        self._session.check_alive()  # retries are no use once the sandbox has ended
        self._lost.add(error)

    def _fail(self, error: Exception) -> None:
        run = self._run
        run.finished = datetime.now(UTC)
        self._failure_limit.count_failure()
        if run.training.done():
            run.inference.set_exception(error)
            return
        run.training.set_exception(error)
        run.inference.set_exception(NotTrained(error) if isinstance(error, RunFailure) else error)

    async def _context(self) -> RunContext:
        if self._run_context is None:
            context = await self._session.run_context(self._package)
            self._run.host = context.client.transport.host
            self._run_context = replace(context, suffix=f"{context.suffix}_{self._number}")
        return self._run_context

    async def _train(self) -> MetricsVerdict:
        self._set_progress("training", "uploading the package")
        begun = self._clock.now()
        age = await self._reattach()
        context = await self._context()
        self._run.seconds["upload"] = self._clock.now() - begun
        self._run.seconds["queue"] = self._waited
        if age is None:
            await self._submit(context)
        timer = JobTimer(
            self._clock,
            self._limits.longest_poll,
            limit=self._test.time_limit,
            queue_limit=self._limits.queue,
            age=age or 0.0,
            active_runs=self._session.active_runs,
        )
        try:
            state = await self._wait_for_training(timer)
            verdict = judge_training(self._run, self._route, state)
        except BaseException as failure:
            await self._give_up(await self._context(), self._run.job_id or "", failure)
            raise
        finally:
            self._run.seconds["queue"] += timer.queued
            self._run.seconds["training"] = timer.ran
        self._run.job_log = await log_tail(context.client, self._run.job_id)
        await read_predictions(self._run, self._route, await self._context(), self._test)
        return verdict

    async def _wait_for_training(self, timer: JobTimer) -> TrainingState:
        """Wait for the job. A job whose container was restarted never ends, so another one is submitted."""
        restarts = 0
        while True:
            context, job_id = await self._context(), self._run.job_id or ""
            try:
                return await self._poll_training(context, job_id, timer)
            except TrainingFailure as failure:
                if WORKER_RESTARTED not in failure.reason or restarts == _MAX_RESTARTS:
                    raise
            if timer.late:
                raise time_limit_failure(self._run, timer, self._limits)
            restarts += 1
            again = f"the training was started again ({restarts} of at most {_MAX_RESTARTS} times)"
            self._run.notes.append(f"the container of job {job_id} was restarted; {again}")
            await self._forget_job()
            await timer.pause()
            timer.record_poll(queued=None)
            await self._submit(self._rename(context))

    async def _reattach(self) -> float | None:
        """Continue a job of an earlier session and return its age in seconds; None if there is none."""
        others = siblings(self._run.case)
        found = await find_running_job(self._session, self._test, self._package, self._route, self._run.notes, others)
        if found is None:
            return None
        self._run_context, self._job_entry = found.context, found.entry
        self._run.host = found.context.client.transport.host
        self._run.job_id = found.entry.name
        self._run.reattached = True
        self._link(found.context, "job log")
        self._set_progress("training", "accepted")
        return found.age

    async def _submit(self, context: RunContext) -> None:
        """Submit the training job; submit another one under another name if the start's outcome stays unknown."""
        for tries in range(1, _MAX_UNKNOWN_STARTS + 1):
            try:
                self._run.job_id = await self._submit_once(context)
            except UnknownStart as unknown:
                self._note_unknown_start(context, unknown)
                if tries == _MAX_UNKNOWN_STARTS:
                    raise as_failure(unknown.lost, SubmitFailure) from unknown
                context = self._rename(context)
            else:
                self._job_ended = False
                self._link(context, "job log")
                self._set_progress("training", "accepted")
                return

    async def _submit_once(self, context: RunContext) -> str:
        submitting = asyncio.create_task(self._record_and_submit(context))
        try:
            # Shielded, since a job whose id was never read would train on and could not be cancelled.
            return await asyncio.shield(submitting)
        except errors.InstabaseError as error:
            raise as_failure(error, SubmitFailure) from error
        except asyncio.CancelledError as end:
            with contextlib.suppress(errors.InstabaseError, UnknownStart):
                await self._give_up(context, await submitting, end)
            raise

    async def _record_and_submit(self, context: RunContext) -> str:
        journal = self._session.journal
        job = await fingerprint(self._session, self._test, self._package, self._route, context)
        entry = self._job_entry = await journal.add("job", "", folder=context.folder, job=job)
        job_id = await submit_training(self._route, context, self._test, self._clock)
        self._job_entry = await journal.record_accepted(entry, job_id)
        return job_id

    def _note_unknown_start(self, context: RunContext, unknown: UnknownStart) -> None:
        name = self._route.model_name(context, self._test)
        self._run.notes.append(
            f"the answer to the start of training {name} was lost ({unknown}), and this environment cannot be asked "
            "whether it has the job"
        )
        self._session.left_behind.append(
            f"a training of {name} may run on {self._run.case.environment}, which did not return its id"
        )

    def _rename(self, context: RunContext) -> RunContext:
        """Use other names for another start: files that the first job may still write must not mix with its own."""
        self._run_context = replace(context, suffix=f"{context.suffix}r")
        return self._run_context

    async def _poll_training(self, context: RunContext, job_id: str, timer: JobTimer) -> TrainingState:
        async def poll() -> TrainingState | None:
            state = await self._route.poll(context, job_id)
            timer.record_poll(queued=state.queued, fraction=state.fraction)
            self._job_ended = state.finished
            self._run.progress.state = state.name
            self._run.progress.fraction = state.fraction
            self._run.history.record(state.fraction, state.metrics, state.history)
            return state if state.finished else None

        try:
            state = await poll_job(poll, timer, self._on_lost)
        except errors.InstabaseError as error:
            failure = as_failure(error, TrainingFailure)
            if isinstance(failure, TrainingFailure):
                failure = TrainingFailure(f"{error}; job {job_id} was given up, since its status cannot be read")
            raise failure from error
        if state is None:
            raise time_limit_failure(self._run, timer, self._limits)
        if state.error:
            redact = context.client.transport.redact
            if state.environment_fault:
                raise EnvironmentUnavailable(redact(state.error))
            raise TrainingFailure(redact(state.error), redact(state.job_traceback))
        if self._job_entry is not None:
            self._job_entry = await self._session.journal.record_ended(self._job_entry)
        return state

    async def _give_up(self, context: RunContext, job_id: str, failure: BaseException) -> None:
        if not self._job_ended:
            was_cancelled = await cancel_job(context.client, job_id)
            if isinstance(failure, TimeLimitFailure):
                failure.cancelled = was_cancelled
            if was_cancelled:
                self._run.notes.append(f"job {job_id} was cancelled")
                await self._forget_job()
            else:
                note = f"job {job_id} could not be cancelled on {self._run.case.environment}, and may go on there"
                self._run.notes.append(note)
                self._session.left_behind.append(note)
        elif isinstance(failure, TrainingFailure):
            await self._forget_job()
        if isinstance(failure, RunFailure):
            self._run.job_log = await log_tail(context.client, self._run.job_id)

    async def _forget_job(self) -> None:
        if self._job_entry is not None:
            await self._session.journal.remove(self._job_entry)

    async def _infer(self) -> PredictionsVerdict:
        self._set_progress("inference", "serving the model")
        context = await self._context()
        return await Inference(
            self._run,
            self._route,
            context,
            self._session,
            self._limits,
            self._clock,
            self._lost,
            on_lost=self._on_lost,
            on_start=lambda: self._link(context, "Refiner"),
        ).verdict()

    def _link(self, context: RunContext, page: str) -> None:
        # The pages of an embedded sandbox end with it.
        if self._run.job_id is not None and not self._session.is_embedded:
            pages = self._route.pages(context, self._test, self._run.job_id)
            self._run.links.update((name, address) for name, address in pages.items() if name == page)

    def _set_progress(self, phase: str, state: str) -> None:
        self._run.progress = Progress(phase=phase, state=state, since=self._clock.now())
