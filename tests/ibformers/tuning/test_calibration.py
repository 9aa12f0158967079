"""Expected calibration error, the fit of a temperature, and the layer that it scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from ibformers.tasks.text_classification.calibration import BOUNDS, calibrate, fit_temperature
from ibformers.tasks.text_classification.metrics import expected_calibration_error, top_scores
from ibformers.tasks.text_classification.model import load_classifier, load_tokenizer
from ibformers.tasks.text_classification.texts import text_reader
from ibformers.tasks.text_classification.training import Collator, predict_logits
from ibformers.tuning import ModelSettings
from tests.ibformers.families import write_family

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_the_calibration_error_of_a_few_rows() -> None:
    # Two bins: 0.9 and 0.92 with one right of two, 0.6 with one right of one.
    scores, right = np.array([0.9, 0.92, 0.6]), np.array([True, False, True])
    assert expected_calibration_error(scores, right) == pytest.approx((0.82 + 0.4) / 3)
    assert expected_calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0
    # 1/3 belongs to the bin that it ends, so each of these rows has a bin of its own.
    edges = expected_calibration_error(np.array([1 / 3, 0.34]), np.array([True, False]))
    assert edges == pytest.approx((2 / 3 + 0.34) / 2)


def test_the_top_score_is_that_of_the_softmax() -> None:
    logits = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32) * 50
    expected = torch.softmax(torch.from_numpy(logits).double(), dim=1).amax(dim=1)
    np.testing.assert_allclose(top_scores(logits), expected.numpy())


def sample(rows: int, temperature: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return logits that are right as often as they say if they are divided by the temperature, and right labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 5)) * 1.5
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    actual = (shares.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return logits * temperature, actual


@pytest.mark.parametrize("temperature", [0.3, 4.0], ids=["too flat", "too sharp"])
def test_a_fitted_temperature_makes_scores_probabilities(temperature: float) -> None:
    found = fit_temperature(*sample(400, temperature, 1))
    assert found == pytest.approx(temperature, rel=0.15)
    logits, actual = sample(2000, temperature, 2)
    right = logits.argmax(axis=1) == actual
    scaled = logits / found
    assert (scaled.argmax(axis=1) == logits.argmax(axis=1)).all()
    before, after = (expected_calibration_error(top_scores(each), right) for each in (logits, scaled))
    assert before > 0.15
    assert after < 0.05


def test_rows_that_are_all_right_or_all_wrong_do_not_run_away() -> None:
    logits = np.tile([3.0, 0.0, 0.0], (30, 1))
    score = top_scores(logits / fit_temperature(logits, np.zeros(30, dtype=np.int64)))[0]
    assert 0.95 < score < 1 - 1 / 64
    assert fit_temperature(logits, np.ones(30, dtype=np.int64)) == pytest.approx(BOUNDS[1], rel=1e-3)


class Head(torch.nn.Module):
    """Output layer whose logits are no linear function."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.inner(states))


def test_a_model_without_a_linear_output_layer_is_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = str(write_family("BERT", tmp_path / "base"))
    settings = ModelSettings(path=tmp_path, model_name="base")
    tokenizer = load_tokenizer(base, settings)
    model = load_classifier(base, settings, tokenizer, ["bad", "good"]).model
    collator = Collator(text_reader(model, tokenizer, base))
    held_out: Any = Held(collator)
    linear: Any = model.classifier
    model.classifier = Head(linear)
    before = predict_logits(model, held_out, collator, 8)
    assert calibrate(model, held_out, collator, 8) is None
    assert "the outputs of BertForSequenceClassification are not those of a linear layer" in caplog.text
    np.testing.assert_array_equal(predict_logits(model, held_out, collator, 8), before)

    model.classifier = linear
    before = predict_logits(model, held_out, collator, 8)
    temperature = calibrate(model, held_out, collator, 8)
    assert temperature is not None
    np.testing.assert_allclose(predict_logits(model, held_out, collator, 8) * temperature, before, atol=1e-6)
    assert model.config.score_temperature == temperature


class Held:
    """Examples that were held out."""

    def __init__(self, collator: Collator) -> None:
        texts = [f"film number {index} was {('awful', 'great')[index % 2]}" for index in range(20)]
        self._rows = collator.reader.read(texts).rows()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self._rows[index], "labels": index % 2}

    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(row) for row in self._rows])

    def labels(self) -> NDArray[np.int64]:
        return np.arange(len(self)) % 2
