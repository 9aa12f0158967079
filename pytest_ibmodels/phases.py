"""What the two items of a case assert. All work is done by the fixtures' runs; here is only the waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ibmodels.waiting import InferenceRun, TrainingRun


class ModelTestPhases:
    """The functions behind every case; the fixtures know which case it is.

    They are static: of a method that is collected one by one, pytest 9.1 drops the first argument twice.
    """

    @staticmethod
    @pytest.mark.training
    def test_training(training_run: TrainingRun) -> None:
        __tracebackhide__ = True
        training_run.wait()

    @staticmethod
    @pytest.mark.inference
    def test_inference(inference_run: InferenceRun) -> None:
        __tracebackhide__ = True
        inference_run.wait()
