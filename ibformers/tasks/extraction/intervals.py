"""Confidence intervals of the metrics of extraction, and the description of the test part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.documents.content import fingerprint, repeated_texts
from ibformers.statistics import bootstrap_interval, bootstrap_weights, wilson
from ibformers.tasks.extraction.metrics import METRIC_NAMES, count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.documents.annotator import AnnotatorProject
    from ibformers.tasks.extraction.results import DocumentResult

Intervals = dict[str, dict[str, list[float]]]
"""Metric → field → lower and upper bound of the two-sided 95 % interval. Undefined metrics have no entry."""


def metric_intervals(fields: Sequence[str], results: Sequence[DocumentResult], seed: int) -> Intervals:
    """Compute the interval of every metric of `evaluate`.

    precision, recall and exact_match have Wilson intervals. f1 and value_f1 have the percentile interval of a bootstrap
    over documents, because the words of a document, and a value and its annotation, are right or wrong together.

    Args:
        fields: field names, in the order of their classes.
        results: results of the test documents.
        seed: seed of the bootstrap.
    """
    intervals: Intervals = {name: {} for name in METRIC_NAMES}
    counts = count(fields, results)
    for field, one in counts.items():
        predicted, gold, both, matches = (int(numbers.sum()) for numbers in one)
        for metric, part, whole in (
            ("precision", both, predicted),
            ("recall", both, gold),
            ("exact_match", matches, len(results)),
        ):
            if whole:
                intervals[metric][field] = list(wilson(part, whole))
    for metric, ratios in (
        ("f1", {field: (one.both, one.predicted + one.gold) for field, one in counts.items()}),
        ("value_f1", {field: (one.right_values, one.values) for field, one in counts.items()}),
    ):
        intervals[metric] = _f1_intervals(ratios, len(results), seed)
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


def _f1_intervals(
    ratios: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]], documents: int, seed: int
) -> dict[str, list[float]]:
    """Return the bootstrap interval of 2 * right / all for each field, of the counts `right` and `all` per document."""
    if not documents:
        return {}
    right, all_ = (np.array(counts).T for counts in zip(*ratios.values(), strict=True))
    with np.errstate(invalid="ignore"):
        parts = [2 * (weights @ right) / (weights @ all_) for weights in bootstrap_weights(documents, seed)]
    found = {}
    for (field, (over, under)), values in zip(ratios.items(), np.concatenate(parts).T, strict=True):
        present = under > 0
        if present.any():
            point, perfect = 2 * over.sum() / under.sum(), present & (2 * over == under)
            interval = bootstrap_interval(float(point), values, int(perfect.sum()), int(present.sum()))
            if interval:
                found[field] = list(interval)
    return found
