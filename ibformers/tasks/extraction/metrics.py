"""Metrics per field: precision, recall and F1 over words, exact match over documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ibformers.tasks.extraction.text_match import same_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.tasks.extraction.results import DocumentResult

Metric = float | Literal["NAN"]
Metrics = dict[str, dict[str, Metric]]
"""Metric → field → value. The text "NAN" stands for a ratio that has no denominator."""


class FieldCounts(NamedTuple):
    """Of one field in each document, shape (documents,): words by prediction and annotation, and equal texts.

    Attributes:
        predicted: words predicted as the field.
        gold: words annotated as the field.
        both: words of both kinds.
        matches: 1 where the predicted text is the annotated one, else 0.
    """

    predicted: NDArray[np.int64]
    gold: NDArray[np.int64]
    both: NDArray[np.int64]
    matches: NDArray[np.int64]


def evaluate(fields: Sequence[str], results: Sequence[DocumentResult]) -> Metrics:
    """Compute the metrics of every field.

    precision: share of the words predicted as the field that are annotated as it; "NAN" where none is predicted.
    recall: share of the words annotated as the field that are predicted as it; "NAN" where none is annotated.
    f1: 2 * right / (predicted + annotated) over words, the harmonic mean of the two; 0 where no word is right; "NAN"
    where no word is predicted and none is annotated.
    exact_match: share of the documents whose predicted text equals the annotated one (see `same_text`); "NAN" without
    documents.
    """
    metrics: Metrics = {"precision": {}, "recall": {}, "f1": {}, "exact_match": {}}
    for field, counts in count(fields, results).items():
        predicted, gold, both, matches = (int(numbers.sum()) for numbers in counts)
        metrics["precision"][field] = _ratio(both, predicted)
        metrics["recall"][field] = _ratio(both, gold)
        metrics["f1"][field] = _ratio(2 * both, predicted + gold)
        metrics["exact_match"][field] = _ratio(matches, len(results))
    return metrics


def count(fields: Sequence[str], results: Sequence[DocumentResult]) -> dict[str, FieldCounts]:
    """Count for every field what its metrics are made of, in each document."""
    counts = {}
    for number, field in enumerate(fields, start=1):
        rows = []
        for result in results:
            predicted, gold = result.predicted == number, result.gold == number
            match = same_text(result.text(predicted), result.text(gold))
            rows.append((predicted.sum(), gold.sum(), (predicted & gold).sum(), match))
        counts[field] = FieldCounts(*np.array(rows, dtype=np.int64).reshape(-1, 4).T)
    return counts


def macro_average(metrics: Metrics, name: str) -> float:
    """Mean over the fields of one metric; a field whose value is undefined counts as 0."""
    values = [0.0 if value == "NAN" else value for value in metrics[name].values()]
    return sum(values) / len(values)


def _ratio(part: int, whole: int) -> Metric:
    return part / whole if whole else "NAN"
