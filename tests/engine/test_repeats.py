"""Several trainings of a case, with a clock and routes of the tests' own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_ibmodels.engine.case import Case, FailureLimit, Progress, Run
from pytest_ibmodels.engine.case_runner import CaseRunner
from pytest_ibmodels.engine.failures import (
    ConfigFailure,
    EnvironmentUnavailable,
    NotTrained,
    RunFailure,
    TrainingFailure,
    phase_failure,
)
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.engine.repeats import add_repeats, seed_of, siblings, trained_test, training_progress
from pytest_ibmodels.engine.routes.base import TrainingState
from pytest_ibmodels.spec import Minimum, ModelTest, ScriptSpec, TableSpec
from tests.engine.test_case_runner import FakeClock, FakeRoute, FakeSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pytest_ibmodels.engine.routes.base import RunContext
    from pytest_ibmodels.packaging import Package

STARTED = TrainingState("STARTED")


class StoppedClock(FakeClock):
    """No limit is ever over."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.01)


def model_test(**keys: Any) -> ModelTest:
    minimums = {"f1": {"Name": Minimum(0.5)}}
    return ModelTest(
        **{"name": "T", "line": 1, "env": ("e",), "ibannotator": "p", "time_limit": 1000, "metrics": minimums, **keys}
    )


def test_a_script_splits_all_repeats_alike() -> None:
    script = ScriptSpec("mytrainer.train", max_drop=0.0)
    case = Case(model_test(ibannotator="", script=script, config={"C": 1}), "e", repeats=2, repeat=1)
    test = trained_test(case)
    assert test.config == {"C": 1, "seed": 43, "split_seed": 42}
    assert test.script == ScriptSpec("mytrainer.train")  # only the first repeat is compared


def good(value: float) -> TrainingState:
    return TrainingState("DONE", finished=True, metrics={"f1": {"Name": value}})


def bad(error: str = "boom", **keys: Any) -> TrainingState:
    return TrainingState("ERROR", finished=True, error=error, **keys)


class SeededRoute(FakeRoute):
    """Notes what is started, by seed."""

    def __init__(self, *states: TrainingState, started: list[int]) -> None:
        super().__init__(*states)
        self._started = started

    async def start_training(self, context: RunContext, test: ModelTest) -> str:
        seed = cast("int", test.config["seed"])
        self._started.append(seed)
        return f"j{seed}"


def train(
    *states: Sequence[TrainingState],
    test: ModelTest | None = None,
    session: FakeSession | None = None,
    slots: int = 10,
    limit: FailureLimit | None = None,
    during: Callable[[asyncio.Task[None]], Awaitable[None]] | None = None,
) -> tuple[Run, list[int]]:
    """Run a case with a repeat for each of `states`, and return also the seeds in the order of their starts."""
    run = Run(Case(test or model_test(), "e", repeats=len(states)))
    started: list[int] = []

    async def main() -> None:
        place = session or FakeSession()
        place.slots = asyncio.Semaphore(slots)
        package = cast("Package", SimpleNamespace(module="m", content_hash="0"))
        add_repeats(run)

        def runner(one: Run, given: Sequence[TrainingState], repeats: Sequence[CaseRunner] = ()) -> CaseRunner:
            route = SeededRoute(*given, started=started)
            number = one.case.repeat
            return CaseRunner(one, number, cast("Any", place), route, package, Limits(), StoppedClock(), limit, repeats)

        others = [runner(one, given) for one, given in zip(run.repeats, states[1:], strict=True)]
        task = asyncio.create_task(runner(run, states[0], others).run())
        if during is not None:
            await during(task)
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    return run, started


def failure(run: Run) -> RunFailure:
    error = phase_failure(run.training)
    assert isinstance(error, RunFailure)
    return error


def test_all_train_and_the_first_is_served() -> None:
    run, started = train([STARTED, good(0.4)], [good(0.6)], [good(0.8)])
    assert sorted(started) == [42, 43, 44]
    (check,) = run.training.result().checks
    assert check.observed == pytest.approx(0.6)
    assert [one.own_verdict.passed for one in run.trainings if one.own_verdict] == [False, True, True]
    assert run.inference.result().passed
    assert run.job_id == "j42"


def test_a_failed_repeat_cancels_those_that_run_and_keeps_those_that_wait_from_starting() -> None:
    session = FakeSession()
    run, started = train([STARTED], [bad(job_traceback="")], [good(1.0)], session=session, slots=2)
    error = failure(run)
    assert isinstance(error, TrainingFailure)
    assert str(error) == error.reason == "repeat 2 of 3 (seed 43): boom"
    assert started == [42, 43]
    assert session.cancelled == ["j42"]
    assert isinstance(run.inference.exception(), NotTrained)
    assert run.job_log == ("job j43, repeat 2 of 3 (seed 43):", "line of j43, ***")


def test_a_fault_of_the_environment_is_that_of_no_repeat() -> None:
    run, _ = train([STARTED], [bad("no GPU", environment_fault=True)])
    assert isinstance(failure(run), EnvironmentUnavailable)
    assert str(failure(run)) == "no GPU"


def test_a_case_with_repeats_fails_once() -> None:
    limit = FailureLimit(2)
    train([bad()], [bad()], [bad()], limit=limit)
    assert not limit.blocks(Run(Case(model_test(), "e")))


def test_a_cancelled_case_cancels_all_its_jobs() -> None:
    session = FakeSession()

    async def cancel(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(0.05)
        task.cancel()

    run, _ = train([STARTED], [STARTED], [good(1.0)], session=session, during=cancel)
    assert sorted(session.cancelled) == ["j42", "j43"]
    assert run.training.cancelled()
    assert [note for note in run.notes if note.startswith("repeat 2")] == [
        "repeat 2 of 3 (seed 43): job j43 was cancelled"
    ]


def test_a_second_cancellation_does_not_wait_for_jobs_that_cannot_be_cancelled() -> None:
    session = FakeSession()

    async def hangs(_job_id: str) -> bool:
        await asyncio.sleep(60)
        return True

    session._client.jobs.cancel = hangs  # type: ignore[method-assign, assignment]

    async def cancel(task: asyncio.Task[None]) -> None:
        for _ in range(2):
            await asyncio.sleep(0.05)
            task.cancel()
        await asyncio.wait_for(asyncio.wait([task]), 2)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    train([STARTED], [STARTED], session=session, during=cancel)


def test_a_seed_that_is_no_whole_number() -> None:
    run, started = train([good(1.0)], [good(1.0)], test=model_test(config={"seed": True}))
    assert isinstance(failure(run), ConfigFailure)
    assert started == []


def test_repeats_of_a_table_test_on_the_same_rows() -> None:
    table = TableSpec("Review", ("Stars", "Words"), max_drop=0.01)
    case = Case(model_test(ibannotator="", table=table, config={"seed": 5}), "e", repeats=3)
    assert trained_test(case).config == {"seed": 5}
    assert trained_test(case).table == table
    second, third = siblings(case)
    assert [one.config for one in (second, third)] == [{"seed": 6, "split_seed": 5}, {"seed": 7, "split_seed": 5}]
    assert second.table is not None
    assert second.table.max_drop is None

    own = Case(model_test(ibannotator="", table=table, config={"split_seed": 1}), "e", repeats=2, repeat=1)
    assert trained_test(own).config == {"seed": 43, "split_seed": 1}
    sides = TableSpec("Review", ("Stars", "Words"), split_column="Part")
    by_column = Case(model_test(ibannotator="", table=sides), "e", repeats=2, repeat=1)
    assert trained_test(by_column).config == {"seed": 43}


def test_a_case_without_repeats_is_trained_as_it_is_written() -> None:
    case = Case(model_test(), "e")
    assert trained_test(case) is case.test
    assert seed_of(case) is None
    assert siblings(case) == []


def test_progress_is_the_mean_of_all() -> None:
    run = Run(Case(model_test(), "e", repeats=2), progress=Progress(state="accepted", fraction=0.5, since=3.0))
    add_repeats(run)
    assert training_progress(run) == Progress("training", "accepted", 0.25, 3.0, "0 of 2 repeats ended")
