"""What the two items of a case assert. All work is done by the fixtures' runs; here is only the waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ibmodels.pytest.phase_runs import InferenceRun, TrainingRun


class ModelTestPhases:
    """The functions behind every case; the fixtures know which case it is.

    They are static: of a method that is collected one by one, pytest 9.1 drops the first argument twice.
    """

    # `inspect.getsourcelines` goes on with this and finds no lines: editors that ask it for the line of a node's class
    # (VS Code) would show the line that this class has here, in the YAML file.
    __wrapped__ = None
    # From Python 3.13 on it looks for the line here.
    __firstlineno__ = None

    @staticmethod
    @pytest.mark.training
    def test_training(training_run: TrainingRun, request: pytest.FixtureRequest) -> None:
        __tracebackhide__ = True
        _wait(training_run, "training_run", request)

    @staticmethod
    @pytest.mark.inference
    def test_inference(inference_run: InferenceRun, request: pytest.FixtureRequest) -> None:
        __tracebackhide__ = True
        _wait(inference_run, "inference_run", request)


def _wait(run: object, name: str, request: pytest.FixtureRequest) -> None:
    """Wait for what a fixture returned; one of a ``conftest.py`` may return something of its own that can wait."""
    __tracebackhide__ = True
    wait = getattr(run, "wait", None)
    if not callable(wait):
        from pytest_ibmodels.pytest.fixture_lookup import wrong_value

        raise wrong_value(run, name, request.node, "something that has `wait()`")
    wait()
