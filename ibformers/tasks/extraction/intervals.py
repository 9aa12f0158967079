"""Confidence intervals of the metrics of extraction, and the description of the test part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.documents.content import fingerprint, repeated_texts
from ibformers.statistics import bootstrap_interval, bootstrap_weights, wilson
from ibformers.tasks.extraction.metrics import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.documents.annotator import AnnotatorProject
    from ibformers.tasks.extraction.metrics import FieldCounts
    from ibformers.tasks.extraction.results import DocumentResult

Intervals = dict[str, dict[str, list[float]]]
"""Metric → field → lower and upper bound of the two-sided 95 % interval. Undefined metrics have no entry."""


def metric_intervals(fields: Sequence[str], results: Sequence[DocumentResult], seed: int) -> Intervals:
    """Compute the interval of every metric of `evaluate`.

    precision, recall and exact_match have Wilson intervals. f1 has the percentile interval of a bootstrap over
    documents, because the words of one document are right or wrong together.

    Args:
        fields: field names, in the order of their classes.
        results: results of the test documents.
        seed: seed of the bootstrap.
    """
    intervals: Intervals = {"precision": {}, "recall": {}, "f1": {}, "exact_match": {}}
    counts = count(fields, results)
    resampled = _resampled_f1(list(counts.values()), len(results), seed)
    for (field, one), values in zip(counts.items(), resampled, strict=True):
        predicted, gold, both, matches = (int(numbers.sum()) for numbers in one)
        for metric, part, whole in (
            ("precision", both, predicted),
            ("recall", both, gold),
            ("exact_match", matches, len(results)),
        ):
            if whole:
                intervals[metric][field] = list(wilson(part, whole))
        present = one.predicted + one.gold > 0
        right = present & (one.predicted == one.both) & (one.gold == one.both)
        if present.any():
            found = bootstrap_interval(2 * both / (predicted + gold), values, int(right.sum()), int(present.sum()))
            if found:
                intervals["f1"][field] = list(found)
    return intervals


def describe_test_part(project: AnnotatorProject) -> dict[str, Any]:
    """Describe the test part, with the fingerprint of its documents."""
    seen = {number for item in project.validation for number in item.classes}
    return {
        "unit": "documents",
        "count": len(project.validation),
        "fingerprint": fingerprint(item.document for item in project.validation),
        "seed": None,
        "split": "Annotator project",
        "duplicates": repeated_texts(project.documents),
        "labels_without_test_rows": [
            field for number, field in enumerate(project.fields, start=1) if number not in seen
        ],
    }


def _resampled_f1(counts: Sequence[FieldCounts], documents: int, seed: int) -> NDArray[np.float64]:
    """Return F1 of each field in each resample of the documents; NaN if it is undefined."""
    if not documents:
        return np.full((len(counts), 1), np.nan)
    right = np.array([one.both for one in counts]).T
    words = np.array([one.predicted + one.gold for one in counts]).T
    with np.errstate(invalid="ignore"):
        parts = [2 * (weights @ right) / (weights @ words) for weights in bootstrap_weights(documents, seed)]
    return np.concatenate(parts).T
