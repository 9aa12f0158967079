"""Metrics per field: precision, recall and F1 over words, exact match over documents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibformers.tasks.extraction.results import DocumentResult

Metric = float | Literal["NAN"]
Metrics = dict[str, dict[str, Metric]]
"""Metric → field → value. The text "NAN" stands for a ratio that has no denominator."""


def evaluate(fields: Sequence[str], results: Sequence[DocumentResult]) -> Metrics:
    """Compute the metrics of every field.

    precision: share of the words predicted as the field that are annotated as it; "NAN" where none is predicted.
    recall: share of the words annotated as the field that are predicted as it; "NAN" where none is annotated.
    f1: harmonic mean of the two; "NAN" where one of them is, or both are 0.
    exact_match: share of the documents whose predicted text equals the annotated one (see `same_text`); "NAN" without
    documents.
    """
    metrics: Metrics = {"precision": {}, "recall": {}, "f1": {}, "exact_match": {}}
    for number, field in enumerate(fields, start=1):
        predicted = gold = both = matches = 0
        for result in results:
            is_predicted, is_gold = result.predicted == number, result.gold == number
            predicted += int(is_predicted.sum())
            gold += int(is_gold.sum())
            both += int((is_predicted & is_gold).sum())
            matches += same_text(result.text(is_predicted), result.text(is_gold))
        metrics["precision"][field] = _ratio(both, predicted)
        metrics["recall"][field] = _ratio(both, gold)
        # Equal to 2PR / (P + R) wherever that is defined.
        metrics["f1"][field] = _ratio(2 * both, predicted + gold) if both else "NAN"
        metrics["exact_match"][field] = _ratio(matches, len(results))
    return metrics


def same_text(predicted: str, gold: str) -> bool:
    """Tell whether two texts are the same field value: equal in upper case once all but letters and digits is dropped.

    Where no text is annotated, only an empty prediction matches.
    """
    if not gold:
        return not predicted
    return bool(predicted) and _normalised(predicted) == _normalised(gold)


def macro_average(metrics: Metrics, name: str) -> float:
    """Mean over the fields of one metric; a field whose value is undefined counts as 0."""
    values = [0.0 if value == "NAN" else value for value in metrics[name].values()]
    return sum(values) / len(values)


def _normalised(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.upper())


def _ratio(part: int, whole: int) -> Metric:
    return part / whole if whole else "NAN"
