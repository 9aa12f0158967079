"""Trainings that a sandbox started again on another machine, and what is sent so that none starts twice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_ibmodels.engine.failures import EnvironmentUnavailable
from pytest_ibmodels.engine.jobs import submit_training
from pytest_ibmodels.engine.placement import Placement, reported_placement
from pytest_ibmodels.engine.routes.base import RunContext, TrainingState
from pytest_ibmodels.engine.routes.script import ScriptRoute
from pytest_ibmodels.instabase.wire import JobStatus, Resources, TrainRequest
from pytest_ibmodels.reports.placement import restart_notes
from pytest_ibmodels.spec import ModelTest, ResourcesSpec, ScriptSpec
from tests.engine.test_case_runner import LOST, FakeClock, FakeRoute, FakeSession, failure, tell

ON_A = Placement("a", 1)
ON_B = Placement("b", 2, ("node a was lost",))


def running(value: float, placement: Placement) -> TrainingState:
    return TrainingState("STARTED", metrics={"f1": {"Name": value}}, placement=placement)


def test_a_training_that_was_started_again_goes_on_and_begins_its_curves_anew() -> None:
    ended = TrainingState("DONE", finished=True, metrics={"f1": {"Name": 1.0}}, placement=ON_B)
    queued = TrainingState("PENDING", queued=True, placement=Placement("", 2, ("node a was lost",)))
    run = tell(FakeRoute(running(0.25, ON_A), running(0.5, ON_A), queued, running(0.125, ON_B), LOST, ended))
    assert run.training.result().passed
    assert run.placement == ON_B
    assert [point.metrics["f1"]["Name"] for point in run.history.points] == [0.125, 1.0]
    assert list(restart_notes(run)) == ["started again on node b, because node a was lost"]


def test_a_training_that_was_lost_too_often_is_a_fault_of_the_environment() -> None:
    lost = Placement("b", 2, ("node a was lost", "node b was lost"))
    error = "node b was lost, and no retries are left"
    session = FakeSession()
    state = TrainingState("ERROR", finished=True, error=error, environment_fault=True, placement=lost)
    run = tell(FakeRoute(running(0.25, ON_A), state), session)
    assert isinstance(failure(run), EnvironmentUnavailable)
    assert failure(run).reason == error
    assert run.placement == lost
    assert session.cancelled == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, Placement()),
        ({"node": None, "attempt": 1, "attempts_lost": []}, Placement("", 1)),
        ({"node": "b", "attempt": 2, "attempts_lost": ["node a was lost."]}, ON_B),
        ({"node": 7, "attempt": "two", "attempts_lost": "none"}, Placement()),
        ({"node": ["b"], "attempt": True, "attempts_lost": [None, {}]}, Placement()),
        (
            {"node": "n" * 300, "attempt": 30, "attempts_lost": ["x" * 600] * 30},
            Placement("n" * 200, 30, ("x" * 500,) * 20),
        ),
    ],
)
def test_whatever_an_environment_calls_a_node(answer: dict[str, Any], expected: Placement) -> None:
    assert reported_placement(JobStatus.model_validate(answer)) == expected


def test_a_start_that_is_repeated_keeps_its_key_and_another_start_has_another() -> None:
    keys: list[str] = []

    class Losing(FakeRoute):
        async def start_training(self, context: RunContext, test: ModelTest) -> str:
            keys.append(context.start_key)
            if len(keys) in {1, 2}:
                raise LOST
            return "j1"

        async def training_jobs(self, context: RunContext, test: ModelTest) -> list[str]:
            return []

    async def main() -> None:
        context = await FakeSession().run_context(cast("Any", None))
        for _ in range(2):
            assert await submit_training(Losing(), context, cast("Any", None), FakeClock()) == "j1"

    asyncio.run(main())
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert all(len(key) == 32 for key in keys)


def test_only_the_training_gets_the_resources_of_its_model_test() -> None:
    sent: list[TrainRequest] = []

    async def train(request: TrainRequest, key: str = "") -> str:
        sent.append(request)
        return "j1"

    async def main() -> None:
        context = await FakeSession().run_context(cast("Any", SimpleNamespace(module="m", libraries=("ibformers",))))
        context.client.models.train = train  # type: ignore[method-assign]
        route = ScriptRoute()
        await route.start_training(context, test)
        await route.start_promotion(context, test, force=False)

    script, resources = ScriptSpec("m.train"), ResourcesSpec(cpus=2.0, gpus=1)
    keys: dict[str, Any] = {"env": ("e",), "ibannotator": "", "time_limit": 60, "script": script}
    test = ModelTest(name="T", line=1, resources=resources, retries=0, **keys)
    asyncio.run(main())
    assert [(request.resources, request.retries) for request in sent] == [
        (Resources(cpus=2.0, gpus=1), 0),
        (None, None),
    ]
