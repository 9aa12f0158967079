"""The story of one run: push, train, judge the metrics; serve, predict, judge the predictions."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.case import Progress, Run
from pytest_ibmodels.engine.failure_limit import FailureLimit
from pytest_ibmodels.engine.failures import (
    EnvironmentUnavailable,
    InferenceFailure,
    NotTrained,
    RunFailure,
    SubmitFailure,
    TimeLimitFailure,
    TrainingFailure,
)
from pytest_ibmodels.engine.inference import Serving
from pytest_ibmodels.engine.jobs import (
    CANCEL_SECONDS,
    cancelled,
    log_tail,
)
from pytest_ibmodels.engine.judging import judge, take_facts
from pytest_ibmodels.engine.lost_responses import (
    LostResponses,
    asked_to_wait,
    is_lost,
)
from pytest_ibmodels.engine.polling import LOOK_SECONDS, JobTimer
from pytest_ibmodels.engine.promotion import promoted
from pytest_ibmodels.engine.reattach import described, reattached
from pytest_ibmodels.engine.routes.base import RouteError
from pytest_ibmodels.engine.session import as_failure
from pytest_ibmodels.engine.starting import Unaccounted, started
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import WORKER_RESTARTED
from pytest_ibmodels.instabase.retrying import ON_RETRY

if TYPE_CHECKING:
    from pytest_ibmodels.engine.clock import Clock
    from pytest_ibmodels.engine.limits import Limits
    from pytest_ibmodels.engine.routes.base import (
        Route,
        RunContext,
        TrainingState,
    )
    from pytest_ibmodels.engine.session import EnvironmentSession
    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict

_MOST_RESTARTS = 5
_MOST_UNACCOUNTED = 3  # each may be a training that runs on


class CaseRunner:
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
        brake: FailureLimit | None = None,
    ) -> None:
        self._run = run
        self._number = number
        self._test = run.case.test
        self._session = session
        self._route = route
        self._package = package
        self._limits = limits
        self._clock = clock
        self._brake = brake or FailureLimit()
        self._workplace: RunContext | None = None
        self._job_entry: Entry | None = None
        self._job_ended = False
        self._losses = LostResponses(run)
        self._waited = 0.0

    async def tell(self) -> None:
        run = self._run
        run.started = datetime.now(UTC)
        ON_RETRY.set(self._hear)
        begun = self._clock.now()
        try:
            while not run.training.done():
                if self._brake.holds(run):
                    await run.wanted.wait()
                async with self._session.slots:
                    if self._brake.holds(run):
                        continue  # and let go of the place for a run that is waited for
                    self._waited = self._clock.now() - begun
                    with self._session.at_work():
                        metrics = await self._training()
                    run.finished = datetime.now(UTC)
                    run.training.set_result(metrics)
            if run.case.with_inference:
                with self._session.at_work():
                    predictions = await self._inference()
                run.finished = datetime.now(UTC)
                run.inference.set_result(predictions)
        except RunFailure as failure:
            self._fail(failure)
        except asyncio.CancelledError:
            if run.expired:
                limit = self._test.time_limit
                self._fail(TimeLimitFailure(run.expired, limit=limit, waited=self._clock.now() - begun, cancelled=True))
                return
            run.training.cancel()
            run.inference.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours: the items show it with its traceback
            self._fail(error)

    async def promote(self, *, force: bool) -> None:
        """Let the new model take the place of the one in use, and note that. Raises: PromotionFailure."""
        place = await self._place()
        sentence = await promoted(self._route, place, self._test, self._clock, self._limits, force=force)
        if sentence:
            self._run.notes.append(sentence + self._session.fate_of_models)

    def _hear(self, error: BaseException, _sentence: str) -> None:
        self._losses.add(error)
        self._session.check_alive()  # what has ended for good is not worth another try

    def _fail(self, error: Exception) -> None:
        run = self._run
        run.finished = datetime.now(UTC)
        self._brake.failed()
        if run.training.done():
            run.inference.set_exception(error)
            return
        run.training.set_exception(error)
        run.inference.set_exception(NotTrained(error) if isinstance(error, RunFailure) else error)

    async def _place(self) -> RunContext:
        if self._workplace is None:
            place = await self._session.workplace(self._package)
            self._run.host = place.client.transport.host
            self._workplace = replace(place, suffix=f"{place.suffix}_{self._number}")
        return self._workplace

    # --- training ---

    async def _training(self) -> MetricsVerdict:
        self._enter("training", "pushing the code")
        begun = self._clock.now()
        age = await self._reattached()
        place = await self._place()
        self._run.seconds["upload"] = self._clock.now() - begun
        self._run.seconds["queue"] = self._waited
        if age is None:
            await self._submit(place)
        watch = JobTimer(
            self._clock,
            self._limits.longest_poll,
            limit=self._test.time_limit,
            queue_limit=self._limits.queue,
            age=age or 0.0,
            active_runs=self._session.active_runs,
        )
        try:
            state = await self._trained(watch)
            take_facts(self._run, state)
            verdict = judge(self._run, state)
        except BaseException as failure:
            await self._give_up(await self._place(), self._run.job_id or "", failure)
            raise
        finally:
            self._run.seconds["queue"] += watch.queued
            self._run.seconds["training"] = watch.ran
        self._run.job_log = await log_tail((await self._place()).client, self._run.job_id)
        return verdict

    async def _trained(self, watch: JobTimer) -> TrainingState:
        """Wait for the job; one whose container was restarted never goes on, so the training is started again."""
        restarts = 0
        while True:
            place, job_id = await self._place(), self._run.job_id or ""
            try:
                return await self._await_training(place, job_id, watch)
            except TrainingFailure as failure:
                if WORKER_RESTARTED not in failure.reason or restarts == _MOST_RESTARTS:
                    raise
            if watch.late:
                raise self._over(watch)
            restarts += 1
            again = f"the training was started again ({restarts} of at most {_MOST_RESTARTS} times)"
            self._run.notes.append(f"the container of job {job_id} was restarted; {again}")
            await self._forget_job()
            await watch.pause()
            watch.saw(queued=None)
            await self._submit(self._renamed(place))

    async def _reattached(self) -> float | None:
        """Go on with a job of an earlier session; its age in seconds, None if there is no such job."""
        attached = await reattached(self._session, self._test, self._package, self._route, self._run.notes)
        if attached is None:
            return None
        self._workplace, self._job_entry = attached.place, attached.entry
        self._run.host = attached.place.client.transport.host
        self._run.job_id = attached.entry.name
        self._run.reattached = True
        self._accepted(attached.place)
        return attached.age

    async def _submit(self, place: RunContext) -> None:
        """Start the training job. Where it cannot be asked whether a lost start had its effect, that is said."""
        for tries in range(1, _MOST_UNACCOUNTED + 1):
            try:
                self._run.job_id = await self._submit_once(place)
            except Unaccounted as unknown:
                self._unaccounted(place, unknown)
                if tries == _MOST_UNACCOUNTED:
                    raise as_failure(unknown.lost, SubmitFailure) from unknown
                place = self._renamed(place)
            else:
                self._job_ended = False
                self._accepted(place)
                return

    async def _submit_once(self, place: RunContext) -> str:
        submitting = asyncio.create_task(self._start(place))
        try:
            # Shielded: a job whose answer nobody reads would train on, and nobody would know its id.
            return await asyncio.shield(submitting)
        except errors.InstabaseError as error:
            raise as_failure(error, SubmitFailure) from error
        except asyncio.CancelledError as end:
            with contextlib.suppress(errors.InstabaseError, Unaccounted):
                await self._give_up(place, await submitting, end)
            raise

    def _unaccounted(self, place: RunContext, unknown: Unaccounted) -> None:
        name = self._route.model_name(place, self._test)
        self._run.notes.append(
            f"the answer to the start of training {name} was lost ({unknown}), and this environment cannot be asked "
            "whether it has the job"
        )
        self._session.left_behind.append(
            f"a training of {name} may run on {self._run.case.environment}, which did not tell its id"
        )

    def _renamed(self, place: RunContext) -> RunContext:
        """Other names for another start: what a first one may still write must not mix with it."""
        self._workplace = replace(place, suffix=f"{place.suffix}r")
        return self._workplace

    def _accepted(self, place: RunContext) -> None:
        self._link(place, "job log")
        self._enter("training", "accepted")

    async def _start(self, place: RunContext) -> str:
        ledger = self._session.ledger
        job = await described(self._session, self._test, self._package, self._route, place)
        entry = self._job_entry = await ledger.make("job", "", folder=place.folder, job=job)
        job_id = await started(self._route, place, self._test, self._clock)
        self._job_entry = await ledger.accepted(entry, job_id)
        return job_id

    async def _await_training(self, place: RunContext, job_id: str, watch: JobTimer) -> TrainingState:
        while True:
            state, asked = await self._look(place, job_id)
            if state is None:
                watch.saw(queued=None)
            else:
                watch.saw(queued=state.queued, fraction=state.fraction)
            if state is not None:
                self._saw(state)
                if state.error:
                    redact = place.client.transport.redact
                    if state.environment_fault:
                        raise EnvironmentUnavailable(redact(state.error))
                    raise TrainingFailure(redact(state.error), redact(state.job_traceback))
                if state.finished:
                    if self._job_entry is not None:
                        self._job_entry = await self._session.ledger.ended(self._job_entry)
                    return state
            if watch.late:
                raise self._over(watch)
            await watch.pause(asked)

    def _saw(self, state: TrainingState) -> None:
        self._run.progress.state = state.name
        self._run.progress.fraction = state.fraction
        self._run.history.saw(state.fraction, state.metrics, state.history)
        self._job_ended = state.finished

    async def _look(self, place: RunContext, job_id: str) -> tuple[TrainingState | None, float]:
        """One look at the job, and the seconds that the environment asks to wait for the next one.

        None if the answer was lost on the way, which is no reason to give up a training.
        """
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._route.look(place, job_id), 0.0
        except (errors.InstabaseError, TimeoutError) as error:
            if isinstance(error, errors.InstabaseError) and not is_lost(error):
                failure = as_failure(error, TrainingFailure)
                if isinstance(failure, TrainingFailure):
                    failure = TrainingFailure(f"{error}; job {job_id} was given up, since nobody can see how it does")
                raise failure from error
            self._session.check_alive()
            self._losses.add(error)
            return None, asked_to_wait(error)

    def _over(self, watch: JobTimer) -> TimeLimitFailure:
        progress = self._run.progress
        if watch.late == "queue":
            limit = self._limits.queue
            reason = f"the environment did not begin with the job within the queue limit of {limit:g} s"
        else:
            limit = self._test.time_limit
            reason = f"the job did not end within the time_limit of {limit:g} s"
        percent = "" if progress.fraction is None else f", {progress.fraction:.0%} done"
        reason += f"; its last state was {progress.state}{percent}"
        return TimeLimitFailure(reason, limit=limit, waited=watch.waited, cancelled=False)

    async def _give_up(self, place: RunContext, job_id: str, failure: BaseException) -> None:
        if not self._job_ended:
            was_cancelled = await cancelled(place.client, job_id)
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
            self._run.job_log = await log_tail(place.client, self._run.job_id)

    async def _forget_job(self) -> None:
        if self._job_entry is not None:
            await self._session.ledger.gone(self._job_entry)

    # --- inference ---

    async def _inference(self) -> PredictionsVerdict:
        self._enter("inference", "serving the model")
        begun = self._clock.now()
        place = await self._place()
        model_name = self._route.model_name(place, self._test)
        model = await self._session.ledger.make("model", model_name, folder=place.folder)
        try:
            try:
                return await self._serving(place).verdict()
            except errors.InstabaseError as error:
                raise as_failure(error, InferenceFailure) from error
            except RouteError as error:
                raise InferenceFailure(place.client.transport.redact(str(error))) from error
        except RunFailure:
            self._run.job_log = await log_tail(place.client, self._run.job_id)
            raise
        finally:
            self._run.seconds["inference"] = self._clock.now() - begun
            await self._leave(place, model)

    def _serving(self, place: RunContext) -> Serving:
        return Serving(
            self._run,
            self._route,
            place,
            self._limits,
            self._clock,
            self._losses,
            check_alive=self._session.check_alive,
            active_runs=self._session.active_runs,
            started=lambda: self._link(place, "Refiner"),
        )

    async def _leave(self, place: RunContext, model: Entry) -> None:
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._route.leave(place, self._test)
                await self._session.ledger.gone(model)
        except (errors.InstabaseError, TimeoutError) as error:
            reason = str(error) or f"no answer within {CANCEL_SECONDS:g} s"
            self._run.notes.append(f"the served model could not be unloaded: {reason}")

    def _link(self, place: RunContext, page: str) -> None:
        # The pages of a sandbox of ours end with it.
        if self._run.job_id is not None and not self._session.is_embedded:
            pages = self._route.pages(place, self._test, self._run.job_id)
            self._run.links.update((name, address) for name, address in pages.items() if name == page)

    def _enter(self, phase: str, state: str) -> None:
        self._run.progress = Progress(phase=phase, state=state, since=self._clock.now())
