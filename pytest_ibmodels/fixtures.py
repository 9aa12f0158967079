"""The fixtures of model tests. A ``conftest.py`` may override ``package``: what it returns is pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.runs.engine import Engine
    from pytest_ibmodels.spec import Environment, ModelTest
    from pytest_ibmodels.waiting import InferenceRun, TrainingRun


@pytest.fixture(scope="class")
def model_test(request: pytest.FixtureRequest) -> ModelTest:
    """The entry of ``model_tests.yaml`` that this case tests."""
    from pytest_ibmodels.waiting import case_node

    return case_node(request).model_test


@pytest.fixture(scope="class")
def environment(request: pytest.FixtureRequest) -> Environment:
    """The environment that this case runs on."""
    from pytest_ibmodels.waiting import case_node

    return case_node(request).environment


@pytest.fixture(scope="session")
def package(pytestconfig: pytest.Config) -> Package:
    """The package that is pushed and trained with, where a model test names none of its own.

    It is the folder of ``--package`` or of the setting ``ibmodels_package``, zipped. It is asked for once a process,
    and not at all if every selected model test names its own.
    """
    from pytest_ibmodels import options
    from pytest_ibmodels.waiting import built_package

    return built_package(options.package_folder(pytestconfig))


@pytest.fixture(scope="session")
def model_engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """The engine of this process. It is closed, and everything that it pushed removed, when the session ends."""
    from pytest_ibmodels.waiting import close_engine, make_engine, sigterm_interrupts

    engine = make_engine(pytestconfig)
    with sigterm_interrupts():
        yield engine
    close_engine(pytestconfig, engine)


@pytest.fixture(scope="class")
def training_run(request: pytest.FixtureRequest, model_engine: Engine, environment: Environment) -> TrainingRun:
    """The training of this case, started with all other selected cases of its environment; ``wait()`` for it."""
    from pytest_ibmodels.waiting import TrainingRun, started_run

    return TrainingRun(request, model_engine, started_run(request, model_engine, environment))


@pytest.fixture(scope="class")
def inference_run(request: pytest.FixtureRequest, model_engine: Engine, environment: Environment) -> InferenceRun:
    """The inference of this case's trained model; ``wait()`` for it. It trains first, selected or not."""
    from pytest_ibmodels.waiting import InferenceRun, started_run

    return InferenceRun(request, model_engine, started_run(request, model_engine, environment))
