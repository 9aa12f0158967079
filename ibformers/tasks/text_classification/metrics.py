"""Metrics of text classification: pure functions of label indices."""

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


def classification_metrics(
    labels: Sequence[str], actual: NDArray[Any], predicted: NDArray[Any], loss: float | None
) -> Metrics:
    """Compute the metrics of predictions.

    Labels without rows are left out, so that two models have values for the same labels. A label that is never
    predicted has a precision of 0.

    Args:
        labels: names of the labels.
        actual: index of the right label for each row; at least one row.
        predicted: index of the predicted label for each row; other numbers are always wrong.
        loss: loss of the result; None if there is none.
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
        precision=per_label(precision),
        recall=per_label(recall),
        f1=per_label(f1),
        support={labels[index]: int(support[index]) for index in seen},
    )
