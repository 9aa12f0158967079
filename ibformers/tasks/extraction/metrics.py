"""Metrics of extraction per field: precision, recall and F1 over words, exact match and F1 of values over documents."""

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
"""Metric → field → value. The text "NAN" stands for a ratio with denominator 0."""

METRIC_NAMES = ("precision", "recall", "f1", "exact_match", "value_f1")


class FieldCounts(NamedTuple):
    """Counts of one field in each document; arrays of shape (documents,).

    Attributes:
        predicted: number of words predicted as the field.
        gold: number of words annotated as the field.
        both: number of words predicted and annotated as the field.
        matches: 1 if the predicted text equals the annotated text, else 0.
    """

    predicted: NDArray[np.int64]
    gold: NDArray[np.int64]
    both: NDArray[np.int64]
    matches: NDArray[np.int64]

    @property
    def values(self) -> NDArray[np.int64]:
        """Number of values that are predicted or annotated: 0, 1 or 2 in each document."""
        return (self.predicted > 0).astype(np.int64) + (self.gold > 0)

    @property
    def right_values(self) -> NDArray[np.int64]:
        """1 if a value is predicted and annotated and the texts are equal, else 0."""
        return self.matches * (self.gold > 0)


def evaluate(fields: Sequence[str], results: Sequence[DocumentResult]) -> Metrics:
    """Compute the metrics of every field.

    precision: fraction of the predicted words that are annotated; "NAN" if no word is predicted.
    recall: fraction of the annotated words that are predicted; "NAN" if no word is annotated.
    f1: 2 * right / (predicted + annotated) over words, the harmonic mean of the two; 0 if no word is right; "NAN" if no
    word is predicted or annotated.
    exact_match: fraction of the documents whose predicted text equals the annotated text (see `same_text`); "NAN"
    without documents.
    value_f1: F1 of values, of which a document has one or none: 2 * right / (predicted + annotated), where a value is
    right if its text equals the annotated text, wherever in the document it stands; "NAN" if no value is predicted or
    annotated.
    """
    metrics: Metrics = {name: {} for name in METRIC_NAMES}
    for field, counts in count(fields, results).items():
        predicted, gold, both, matches = (int(numbers.sum()) for numbers in counts)
        metrics["precision"][field] = _ratio(both, predicted)
        metrics["recall"][field] = _ratio(both, gold)
        metrics["f1"][field] = _ratio(2 * both, predicted + gold)
        metrics["exact_match"][field] = _ratio(matches, len(results))
        metrics["value_f1"][field] = _ratio(2 * int(counts.right_values.sum()), int(counts.values.sum()))
    return metrics


def count(fields: Sequence[str], results: Sequence[DocumentResult]) -> dict[str, FieldCounts]:
    """Count the words of each field in each document."""
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
    """Return the mean of a metric over the fields; an undefined value counts as 0."""
    values = [0.0 if value == "NAN" else value for value in metrics[name].values()]
    return sum(values) / len(values)


def _ratio(part: int, whole: int) -> Metric:
    return part / whole if whole else "NAN"
