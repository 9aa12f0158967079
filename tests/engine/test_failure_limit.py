"""`--maxfail` with concurrent runs, with a fake clock and a fake route."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from pytest_ibmodels.engine.case import Case, FailureLimit, Run
from pytest_ibmodels.engine.case_runner import CaseRunner
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.engine.routes.base import TrainingState
from pytest_ibmodels.spec import Minimum, ModelTest
from tests.engine.test_case_runner import GOOD, FakeClock, FakeRoute, FakeSession

TURNS = 2_000
"""More than any of these runs takes."""
BAD = TrainingState("ERROR", finished=True, error="boom")


def run_all(most_failures: int, *ends: TrainingState, wanted: int | None = None) -> list[Run]:
    """Run cases of which one may train at once, and return after all that may begin has ended."""
    minimums = {"f1": {"Name": Minimum(0.5)}}
    test = ModelTest(name="T", line=1, env=("e",), ibannotator="p", time_limit=1000, metrics=minimums)
    runs = [Run(Case(test, "e", with_inference=False)) for _ in ends]

    async def main() -> None:
        session, limit = FakeSession(), FailureLimit(most_failures)
        package = cast("Any", SimpleNamespace(module="m", content_hash="0"))
        runners = [
            CaseRunner(run, number, cast("Any", session), FakeRoute(end), package, Limits(), FakeClock(), limit)
            for number, (run, end) in enumerate(zip(runs, ends, strict=True))
        ]
        tasks = [asyncio.create_task(runner.run()) for runner in runners]
        if wanted is not None:
            runs[wanted].wanted.set()
        # Turns of the loop, not seconds: on a busy machine few turns fit into a second.
        for _turn in range(TURNS):
            if all(task.done() for task in tasks):
                break
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    return runs


def begun(runs: list[Run]) -> list[bool]:
    return [run.job_id is not None for run in runs]


def test_no_training_begins_after_as_many_failures_as_may_be() -> None:
    assert begun(run_all(1, BAD, GOOD, GOOD)) == [True, False, False]
    assert begun(run_all(2, BAD, GOOD, BAD, GOOD)) == [True, True, True, False]


def test_without_a_limit_all_trainings_begin() -> None:
    assert begun(run_all(0, BAD, BAD, GOOD)) == [True, True, True]


def test_a_training_that_an_item_waits_for_begins_whichever_place_it_has() -> None:
    runs = run_all(1, BAD, GOOD, GOOD, wanted=2)
    assert begun(runs) == [True, False, True]
    assert runs[2].training.result().passed
