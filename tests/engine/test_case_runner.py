"""Runs on an environment that misbehaves, with a fake clock and a fake route.

The faults here (answers that are lost, a cancel that hangs, a delete that is refused) cannot be had from the
sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest
from pydantic import SecretStr

from pytest_ibmodels.engine.case import Case, Run
from pytest_ibmodels.engine.case_runner import CaseRunner
from pytest_ibmodels.engine.failures import (
    InferenceFailure,
    NotTrained,
    RunFailure,
    SubmitFailure,
    TimeLimitFailure,
    TrainingFailure,
    phase_failure,
)
from pytest_ibmodels.engine.polling import LAST_POLL_SECONDS, Limits
from pytest_ibmodels.engine.routes.base import (
    DataFingerprint,
    InterruptedInference,
    RouteError,
    RunContext,
    TrainingState,
)
from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.errors import ApiError, EnvironmentUnavailable, GarbledAnswer, InstabaseError
from pytest_ibmodels.journal.environment import EnvironmentJournal
from pytest_ibmodels.journal.store import Journal
from pytest_ibmodels.spec import Minimum, ModelTest
from pytest_ibmodels.verdicts.predictions import Answer
from pytest_ibmodels.verdicts.results import TrainingPredictions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.verdicts.checks import MetricCheck

LOST = EnvironmentUnavailable("GET jobs/status", "no answer")
GARBLED = GarbledAnswer("GET jobs/status", "the answer is not JSON")
GOOD = TrainingState("DONE", finished=True, metrics={"f1": {"Name": 1.0}})


class FakeClock:
    """Hours pass at once."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


class FakeRoute:
    """Answers each look with the next of `states`, and with the last one for ever."""

    name: ClassVar[str] = "fake"
    serves_with: ClassVar[str] = "Refiner"
    answer_seconds: ClassVar[float] = 0.0

    def __init__(self, *states: TrainingState | InstabaseError, answers: Sequence[object] = ()) -> None:
        self.states = list(states)
        self.answers = list(answers) or [{"doc": Answer({"Name": "x"})}]
        self.polls = 0
        self.left = 0

    @staticmethod
    def is_for(test: ModelTest) -> bool:  # noqa: ARG004 - as the others
        return True

    async def fingerprint(
        self, test: ModelTest, database: SecretStr | None, file_marker: Callable[[str], Awaitable[str]]
    ) -> DataFingerprint:
        return DataFingerprint(test.dataset)

    def extra_checks(self, test: ModelTest, state: TrainingState) -> tuple[list[MetricCheck], list[str]]:
        return [], []

    def pages(self, context: RunContext, test: ModelTest, job_id: str) -> Mapping[str, str]:
        return {"job log": f"http://h/{job_id}", "Refiner": "http://h/refiner"}

    def model_name(self, context: RunContext, test: ModelTest) -> str:
        return f"T_{context.suffix}"

    async def start_training(self, context: RunContext, test: ModelTest) -> str:
        return "j1"

    async def training_jobs(self, context: RunContext, test: ModelTest) -> list[str]:
        raise ApiError("GET jobs/list", "no such call")

    async def poll(self, context: RunContext, job_id: str) -> TrainingState:
        self.polls += 1
        return cast("TrainingState", _given(self.states))

    async def training_predictions(self, context: RunContext, test: ModelTest) -> TrainingPredictions:
        return TrainingPredictions({"doc": {"Name": "x"}}, results={})

    async def start_inference(self, context: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        return "j2"

    async def inference_answers(
        self, context: RunContext, job_id: str, documents: Sequence[str]
    ) -> Mapping[str, Answer] | None:
        return cast("Mapping[str, Answer] | None", _given(self.answers))

    async def unload(self, context: RunContext, test: ModelTest) -> None:
        self.left += 1

    async def start_promotion(self, context: RunContext, test: ModelTest, *, force: bool) -> None:
        return None


def _given(things: list[Any]) -> Any:
    thing = things.pop(0) if len(things) > 1 else things[0]
    if isinstance(thing, Exception):
        raise thing
    return thing


class FakeSession:
    """An environment whose jobs can be cancelled, or not."""

    is_embedded = False
    database = None

    def __init__(self, *, cancels: bool = True) -> None:
        self.slots = asyncio.Semaphore(1)
        self.left_behind: list[str] = []
        self.cancelled: list[str] = []
        self.journal = EnvironmentJournal(Journal(None), "e", "place")
        self._client = Instabase("http://127.0.0.1:9", SecretStr("t0ken"))

        async def cancel(job_id: str) -> bool:
            self.cancelled.append(job_id)
            return cancels

        async def log(job_id: str) -> list[object]:
            return [SimpleNamespace(log=f"line of {job_id}, t0ken")]

        self._client.jobs.cancel = cancel  # type: ignore[method-assign]
        self._client.jobs.log = log  # type: ignore[method-assign, assignment]

    async def run_context(self, package: Package) -> RunContext:
        return RunContext(self._client, "a/b/fs/D/folder", package, "abc")

    async def orphaned_jobs(self) -> list[object]:
        return []

    async def file_marker(self, path: str) -> str:
        return ""

    def at_work(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def active_runs(self) -> int:
        return 1

    def check_alive(self) -> None:
        pass


def tell(
    route: FakeRoute,
    session: FakeSession | None = None,
    *,
    during: Callable[[asyncio.Task[None]], Awaitable[None]] | None = None,
    clock: FakeClock | None = None,
) -> Run:
    """Run one case to its end."""
    minimums = {"f1": {"Name": Minimum(0.5)}}
    test = ModelTest(name="T", line=1, env=("e",), ibannotator="p", time_limit=1000, metrics=minimums)
    run = Run(Case(test, "e"))

    async def main() -> None:
        place = session or FakeSession()
        package = cast("Package", SimpleNamespace(module="m", content_hash="0"))
        runner = CaseRunner(run, 1, cast("Any", place), route, package, Limits(), clock or FakeClock())
        task = asyncio.create_task(runner.run())
        if during is not None:
            await during(task)
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    return run


def failure(run: Run) -> RunFailure:
    error = phase_failure(run.training)
    assert isinstance(error, RunFailure)
    return error


def test_lost_and_garbled_answers_are_no_reason_to_give_up() -> None:
    run = tell(FakeRoute(LOST, GARBLED, TrainingState("STARTED"), LOST, GOOD))
    assert run.training.result().passed
    assert run.inference.result().passed
    assert run.notes == ["3 answers lost, the last one: GET jobs/status: no answer"]


def test_an_environment_that_never_answers_again_runs_into_the_time_limit() -> None:
    clock = FakeClock()
    session = FakeSession()
    run = tell(FakeRoute(TrainingState("STARTED", fraction=0.25), LOST), session, clock=clock)
    assert isinstance(failure(run), TimeLimitFailure)
    assert 1000 <= clock.time <= 1000 + LAST_POLL_SECONDS
    assert session.cancelled == ["j1"]


def test_the_time_limit_names_the_last_state_and_cancels() -> None:
    session = FakeSession()
    run = tell(FakeRoute(TrainingState("STARTED", fraction=0.25)), session)
    error = failure(run)
    assert str(error) == "the job did not end within the time_limit of 1000 s; its last state was STARTED, 25% done"
    assert isinstance(error, TimeLimitFailure)
    assert error.cancelled
    assert run.notes == ["job j1 was cancelled"]
    assert run.job_log == ("line of j1, ***",)
    assert isinstance(run.inference.exception(), NotTrained)


def test_a_container_that_is_restarted_for_ever_fails_after_five_times() -> None:
    starts: list[str] = []

    class Restarting(FakeRoute):
        async def start_training(self, context: RunContext, test: ModelTest) -> str:
            starts.append(self.model_name(context, test))
            return f"j{len(starts)}"

    session = FakeSession()
    run = tell(Restarting(TrainingState("ERROR", finished=True, error="Worker received non-pending task x")), session)
    assert isinstance(failure(run), TrainingFailure)
    assert len(starts) == len(set(starts)) == 6
    assert run.notes == [
        f"the container of job j{number} was restarted; the training was started again ({number} of at most 5 times)"
        for number in range(1, 6)
    ]
    assert session.cancelled == []


def test_restarts_do_not_go_on_past_the_time_limit() -> None:
    restarted = TrainingState("ERROR", finished=True, error="Worker received non-pending task")
    clock = FakeClock()

    class LastWord(FakeRoute):
        async def poll(self, context: RunContext, job_id: str) -> TrainingState:
            self.polls += 1
            if clock.time < 1005:
                raise LOST
            return restarted

    route = LastWord()
    run = tell(route, clock=clock)
    assert isinstance(failure(run), TimeLimitFailure)
    assert not any("container" in note for note in run.notes)


def test_looks_grow_rarer_with_the_time_waited() -> None:
    route = FakeRoute(TrainingState("STARTED"))
    tell(route)
    assert route.polls < 200  # one every tenth of a second would be 10,000


def test_a_job_that_cannot_be_cancelled_is_said_to_go_on() -> None:
    session = FakeSession(cancels=False)
    run = tell(FakeRoute(TrainingState("STARTED")), session)
    assert session.left_behind == ["job j1 could not be cancelled on e, and may go on there"]
    assert run.notes == session.left_behind


def test_a_refused_look_fails_at_once_and_cancels_the_job() -> None:
    session = FakeSession()
    run = tell(FakeRoute(ApiError("GET jobs/status", "no such job")), session)
    assert isinstance(failure(run), TrainingFailure)
    assert session.cancelled == ["j1"]


def test_a_job_that_the_environment_could_not_run_is_no_failed_training() -> None:
    state = TrainingState("ERROR", finished=True, error="no process for t0ken", environment_fault=True)
    run = tell(FakeRoute(state), FakeSession())
    assert failure(run).kind == "environment unavailable"
    assert failure(run).reason == "no process for ***"


def test_a_job_that_ended_by_itself_is_not_cancelled() -> None:
    session = FakeSession()
    run = tell(FakeRoute(TrainingState("ERROR", finished=True, error="boom with t0ken")), session)
    assert str(failure(run)) == "boom with ***"
    assert session.cancelled == []


def test_a_refused_start_is_a_submit_failure() -> None:
    class Refusing(FakeRoute):
        async def start_training(self, context: RunContext, test: ModelTest) -> str:
            raise ApiError("POST model-service/run_train", "no such function")

    assert isinstance(failure(tell(Refusing(GOOD))), SubmitFailure)


def test_a_job_that_starts_while_its_run_is_cancelled_is_cancelled_too() -> None:
    class Slow(FakeRoute):
        async def start_training(self, context: RunContext, test: ModelTest) -> str:
            await asyncio.sleep(0.05)
            return "late"

    async def interrupt(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(0.01)
        task.cancel()

    session = FakeSession()
    run = tell(Slow(GOOD), session, during=interrupt)
    assert run.training.cancelled()
    assert session.cancelled == ["late"]


def test_inference_survives_lost_answers() -> None:
    run = tell(FakeRoute(GOOD, answers=[LOST, None, GARBLED, {"doc": Answer({"Name": "x"})}]))
    assert run.inference.result().passed


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([None], "the Refiner did not end within 300 s (job j2)"),
        ([RouteError("ended with t0ken")], "ended with ***"),
        ([ApiError("GET jobs/status", "no")], "GET jobs/status: no"),
        (
            [{}],
            (
                "the served model answered for none of 1 document; "
                "for doc: the Refiner returned no record for this document"
            ),
        ),
    ],
)
def test_inference_that_fails_says_why_shows_the_log_and_leaves(answers: list[object], reason: str) -> None:
    route = FakeRoute(GOOD, answers=answers)
    run = tell(route)
    error = phase_failure(run.inference)
    assert isinstance(error, InferenceFailure)
    assert str(error) == reason
    assert run.job_log == ("line of j1, ***",)
    assert route.left == 1


def test_an_inference_that_the_environment_interrupts_begins_again() -> None:
    interrupted = InterruptedInference("UNAVAILABLE: no worker")
    run = tell(FakeRoute(GOOD, answers=[interrupted, None, interrupted, {"doc": Answer({"Name": "x"})}]))
    assert run.inference.result().passed
    assert run.notes == ["2 answers lost, the last one: UNAVAILABLE: no worker"]
    for_ever = tell(FakeRoute(GOOD, answers=[interrupted])).inference.exception()
    assert isinstance(for_ever, InferenceFailure)


def test_a_fault_of_ours_reaches_both_items() -> None:
    class Broken(FakeRoute):
        async def poll(self, context: RunContext, job_id: str) -> TrainingState:
            raise ZeroDivisionError

    session = FakeSession()
    run = tell(Broken(GOOD), session)
    assert isinstance(run.training.exception(), ZeroDivisionError)
    assert isinstance(run.inference.exception(), ZeroDivisionError)
    assert session.cancelled == ["j1"]


@pytest.mark.parametrize(("seconds", "lost"), [(0.0, 1), (30.0, 0)])
def test_an_answer_is_waited_for_as_long_as_its_route_says(
    seconds: float, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_ibmodels.engine.inference.POLL_TIMEOUT", 0.05)

    class Slow(FakeRoute):
        answer_seconds = seconds

        async def inference_answers(
            self, context: RunContext, job_id: str, documents: Sequence[str]
        ) -> Mapping[str, Answer] | None:
            self.polls += 1
            await asyncio.sleep(0.3 if self.polls == 2 else 0.0)
            return await super().inference_answers(context, job_id, documents)

    run = tell(Slow(GOOD))
    assert phase_failure(run.inference) is None
    assert len(run.notes) == lost
