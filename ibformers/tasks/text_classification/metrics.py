"""Metrics of text classification: pure functions of label indices and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.tasks.text_classification.answers import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MACRO, WEIGHTED = "macro avg", "weighted avg"
"""Names of the averages over labels: unweighted, and weighted by the number of rows."""

AVERAGES = (MACRO, WEIGHTED)

BINS = 15
"""Number of bins of the expected calibration error, as in the paper."""


def classification_metrics(
    labels: Sequence[str],
    actual: NDArray[Any],
    predicted: NDArray[Any],
    loss: float | None,
    ece: float | None = None,
) -> Metrics:
    """Compute the metrics of predictions.

    Labels without rows are left out, so that two models have values for the same labels. A label that is never
    predicted has a precision of 0.

    Args:
        labels: names of the labels.
        actual: index of the right label for each row; at least one row.
        predicted: index of the predicted label for each row; other numbers are always wrong.
        loss: loss of the result; None if there is none.
        ece: expected calibration error of the result; None if there is none.
    """
    count = len(labels)
    known = (predicted >= 0) & (predicted < count)
    hits = np.bincount(actual[actual == predicted], minlength=count)[:count]
    support = np.bincount(actual, minlength=count)[:count]
    guesses = np.bincount(predicted[known], minlength=count)[:count]
    precision = hits / np.maximum(guesses, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + guesses, 1)
    seen = np.flatnonzero(support).tolist()

    def per_label(values: NDArray[np.float64]) -> dict[str, float]:
        named = {labels[index]: float(values[index]) for index in seen}
        weighted = float((values * support).sum() / support.sum())
        return named | {MACRO: float(values[seen].mean()), WEIGHTED: weighted}

    return Metrics(
        accuracy=float((actual == predicted).mean()),
        loss=loss,
        ece=ece,
        precision=per_label(precision),
        recall=per_label(recall),
        f1=per_label(f1),
        support={labels[index]: int(support[index]) for index in seen},
    )


def top_scores(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the softmax probability of the largest logit in each row of an array of shape (rows, labels)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(1 / np.exp(shifted).sum(axis=1))


def expected_calibration_error(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the mean distance between the scores and the share of right predictions, 0..1.

    The predictions are put into 15 bins of equal width by their scores. The distance in a bin is that between its mean
    score and its share of right predictions; bins are weighted by their numbers of predictions. With few rows, the
    error is above 0 even for scores that are exact probabilities.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    Args:
        scores: score of the predicted label for each row, 0..1; at least one row.
        right: whether the prediction is right for each row.
    """
    bins = np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)
    surplus = np.bincount(bins, weights=scores - right, minlength=BINS)
    return float(np.abs(surplus).sum() / len(scores))
