"""What the two items of a case assert. All work is done by the fixtures' runs; here is only the waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ibmodels.waiting import InferenceRun, TrainingRun


class ModelTestPhases:
    """The functions behind every case; the fixtures know which case it is."""

    @pytest.mark.training
    def test_training(self, training_run: TrainingRun) -> None:
        training_run.wait()

    @pytest.mark.inference
    def test_inference(self, inference_run: InferenceRun) -> None:
        inference_run.wait()
