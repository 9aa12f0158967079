"""The fixtures of model tests whose names are the plugin's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.engine.engine import Engine
    from pytest_ibmodels.pytest.phase_runs import InferenceRun, TrainingRun
    from pytest_ibmodels.spec import Environment, ModelTest


@pytest.fixture(scope="class")
def model_test(request: pytest.FixtureRequest) -> ModelTest:
    """The entry of ``model_tests.yaml`` that this case tests."""
    from pytest_ibmodels.pytest.collection import case_node

    return case_node(request).model_test


@pytest.fixture(scope="session")
def model_engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """The engine of this process. It is closed, and everything that it pushed removed, when the session ends."""
    from pytest_ibmodels.pytest.phase_runs import (
        close_engine,
        make_engine,
        sigterm_interrupts,
    )

    engine = make_engine(pytestconfig)
    with sigterm_interrupts():
        yield engine
    close_engine(pytestconfig, engine)


@pytest.fixture(scope="class")
def training_run(
    request: pytest.FixtureRequest, model_engine: Engine, environment: Environment, model_test: ModelTest
) -> TrainingRun:
    """The training of this case; ``wait()`` for it. That starts it, with other selected cases of its environment."""
    from pytest_ibmodels.pytest.phase_runs import TrainingRun

    return TrainingRun(request, model_engine, environment, model_test)


@pytest.fixture(scope="class")
def inference_run(
    request: pytest.FixtureRequest, model_engine: Engine, environment: Environment, model_test: ModelTest
) -> InferenceRun:
    """The inference of this case's trained model; ``wait()`` for it. It trains first, selected or not."""
    from pytest_ibmodels.pytest.phase_runs import InferenceRun

    return InferenceRun(request, model_engine, environment, model_test)
