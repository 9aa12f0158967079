"""Comparison of a new model with the model in use, with the statistics of tables, which need numpy and scipy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.tasks.text_classification.comparison import Evaluation, compare, label_numbers
from ibformers.tasks.text_classification.metrics import classification_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibformers.sdk.result import Row


def compare_rows(rows: Sequence[Row], old: Sequence[str], learned: Sequence[bool] | None, seed: int) -> dict[str, Any]:
    """Return `current` and `comparison` as `better_than_current` reads them.

    Args:
        rows: test rows with the predictions of the new model.
        old: predictions of the model in use.
        learned: whether the model in use has learned each row; None if unknown.
        seed: seed of the bootstrap.
    """
    right, new = [row.expected or "" for row in rows], [row.predicted for row in rows]
    labels = sorted(set(right))
    actual = label_numbers(right, labels)
    metrics = [classification_metrics(labels, actual, label_numbers(found, labels), None) for found in (old, new)]
    old_model, new_model = (
        Evaluation(one, found, np.arange(len(found))) for one, found in zip(metrics, (old, new), strict=True)
    )
    known = None if learned is None else np.array(learned, dtype=np.bool_)
    compared = compare(
        labels, actual, old_model, new_model, known, seed, lambda index: (index + 1, str(rows[index].input))
    )
    return {
        "current": old_model.metrics.model_dump(exclude={"loss", "ece"}),
        "comparison": compared.model_dump(mode="json"),
    }
