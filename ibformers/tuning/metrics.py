"""Metrics of a text classification: pure functions over label numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MACRO, WEIGHTED = "macro avg", "weighted avg"
"""Names of the averages beside the labels: of the labels as they are, and by their number of rows."""


class Metrics(BaseModel):
    """How good a model is on the test rows; the definitions are those of scikit-learn's classification report.

    Attributes:
        accuracy: share of the rows with the right label.
        loss: mean cross entropy; None where the model does not know all labels.
        precision: per label, and `macro avg` and `weighted avg`.
        recall: the same.
        f1: the same.
        support: test rows per label.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: float
    loss: float | None
    precision: dict[str, float]
    recall: dict[str, float]
    f1: dict[str, float]
    support: dict[str, int]


def classification_metrics(
    labels: Sequence[str], actual: NDArray[Any], predicted: NDArray[Any], loss: float | None
) -> Metrics:
    """Compute the metrics.

    A label that no row has and that was never predicted is left out. Where a label is only predicted, its recall is 0,
    and where it never is, its precision is 0.

    Args:
        labels: names of the labels.
        actual: number of the right label for each row; at least one row.
        predicted: number of the predicted label for each row; one that is no label's number is always wrong.
        loss: handed on.
    """
    count = len(labels)
    known = (predicted >= 0) & (predicted < count)
    hits = np.bincount(actual[actual == predicted], minlength=count)[:count]
    support = np.bincount(actual, minlength=count)[:count]
    guesses = np.bincount(predicted[known], minlength=count)[:count]
    precision = hits / np.maximum(guesses, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + guesses, 1)
    seen = np.flatnonzero((support > 0) | (guesses > 0)).tolist()

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
