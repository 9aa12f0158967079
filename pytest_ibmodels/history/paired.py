"""Metrics of two runs on the same documents or rows: their difference with its interval, by a paired bootstrap.

Needs numpy, which is imported on first use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pytest_ibmodels.verdicts.baseline import WorseDocument
from pytest_ibmodels.verdicts.results import Labels, WordCounts, is_right

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pytest_ibmodels.verdicts.results import FieldResult, Results

CONFIDENCE = 0.9
"""Confidence of the interval: two one-sided bounds of 95 %."""

RESAMPLES = 2000

_SEED = 42
_CELLS = 2**21
"""Maximum number of weights in memory at a time."""

_RATIOS = ("precision", "recall", "f1")
_RATES = ("exact_match", "value_f1")
_MACRO, _WEIGHTED, _ALL = "macro avg", "weighted avg", "all"
_SAME_VALUE = 1e-6
"""Allowed deviation of a reported value from the one computed from documents, as trainings may round."""


@dataclass(frozen=True)
class PairedDifference:
    """Difference of a metric on the same documents.

    Attributes:
        difference: new minus old; means over the repeats of each.
        low, high: ends of the 90 % interval.
        documents: number of documents.
        only_old_right, only_new_right: number of documents that one of the two gets right more often.
        is_same: True if every document has the same result in both.
    """

    difference: float
    low: float
    high: float
    documents: int
    only_old_right: int
    only_new_right: int
    is_same: bool


def paired_difference(
    new: Sequence[Results], old: Sequence[Results], values: tuple[float, float], metric: str, field: str
) -> PairedDifference | None:
    """Compare a metric of a new run with that of an earlier run, both on the same documents.

    Args:
        new: results of each repeat of the new run; at least one.
        old: results of each repeat of the earlier run; at least one.
        values: value that the new and that the earlier run reported (the mean of its repeats).
        metric: name of the metric.
        field: name of its field.

    Returns:
        None if the metric cannot be computed from the results, gives other values than those reported, or the runs were
        tested on other documents.
    """
    columns = _columns(new, old, metric, field)
    if columns is None:
        return None
    measure, rows = columns
    import numpy as np

    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    point = measure.values(kinds, counts[None, :].astype(float))[0]
    if any(not abs(found - reported) <= _SAME_VALUE for found, reported in zip(point, values, strict=True)):
        return None
    differences = np.concatenate([_differences(measure, kinds, weights) for weights in _weights(counts)])
    known = differences[~np.isnan(differences)]
    if not len(known):
        return None
    difference = float(point[0] - point[1])
    low, high = (float(end) for end in np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    rights = [measure.rights(kinds, one) for one in (measure.new, measure.old)]
    return PairedDifference(
        difference=difference,
        low=min(low, difference),
        high=max(high, difference),
        documents=len(rows),
        only_old_right=int(counts[rights[0] < rights[1]].sum()),
        only_new_right=int(counts[rights[0] > rights[1]].sum()),
        is_same=_is_same(new, old, field, is_classifier=isinstance(measure, _LabelMeasure)),
    )


def worse_documents(new: Sequence[Results], old: Sequence[Results]) -> list[WorseDocument]:
    """Return the documents with fields that the earlier run predicted better, those with most fields first."""
    worse = []
    for document in new[0]:
        if any(document not in one for one in (*new, *old)):
            continue
        fields = tuple(
            field
            for field in new[0][document]
            if all(field in one[document] for one in (*new, *old))
            and _quality([one[document][field] for one in new]) < _quality([one[document][field] for one in old])
        )
        if fields:
            worse.append(WorseDocument(document, fields))
    return sorted(worse, key=lambda one: -len(one.fields))


def _quality(results: Sequence[FieldResult]) -> tuple[float, float]:
    """Quality of a document's results, to compare: how often it is right, then the share of words that are right."""
    right = sum(map(is_right, results)) / len(results)
    shares = [
        2 * one.both / (one.predicted + one.annotated)
        for one in results
        if isinstance(one, WordCounts) and one.predicted + one.annotated
    ]
    return round(right, 9), round(sum(shares) / len(results), 9)


class _Measure(Protocol):
    """A metric as a function of weighted kinds of documents; ``new`` and ``old`` are the columns of their repeats."""

    new: slice
    old: slice

    def values(self, kinds: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the metric of the new and the old run for each row of weights; array of shape (rows, 2)."""
        ...

    def rights(self, kinds: NDArray[Any], repeats: slice) -> NDArray[np.float64]:
        """Return the share of the repeats that get a document of each kind right."""
        ...


class _WordMeasure:
    """Precision, recall or F1 over words, or exact match or F1 of values over documents, of one field."""

    def __init__(self, metric: str, repeats: int, others: int) -> None:
        self._metric = metric
        self.new, self.old = slice(0, repeats), slice(repeats, repeats + others)

    def values(self, kinds: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        cells = kinds.reshape(len(kinds), -1, len(WordCounts._fields)).astype(float)
        predicted, annotated, both, match = (cells[:, :, index] for index in range(4))
        part, whole = {
            "precision": (both, predicted),
            "recall": (both, annotated),
            "f1": (both, (predicted + annotated) / 2),
            "exact_match": (match, np.ones_like(match)),
            # A document has one value or none; two that are empty are no values.
            "value_f1": (match * (annotated > 0), ((predicted > 0) + (annotated > 0).astype(float)) / 2),
        }[self._metric]
        return _means(self, _ratio(weights @ part, weights @ whole))

    def rights(self, kinds: NDArray[Any], repeats: slice) -> NDArray[np.float64]:
        cells = kinds.reshape(len(kinds), -1, len(WordCounts._fields))
        right: NDArray[np.float64] = cells[:, repeats, 3].mean(axis=1)
        return right


class _LabelMeasure:
    """A metric of a classifier; the first column of a kind is the right label, the others are predictions."""

    def __init__(self, metric: str, field: str, labels: Sequence[str], repeats: int, others: int) -> None:
        self._metric, self._field, self._labels = metric, field, list(labels)
        self.new, self.old = slice(0, repeats), slice(repeats, repeats + others)

    def values(self, kinds: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        columns = []
        for column in range(1, kinds.shape[1]):
            hits = (kinds[:, 0] == kinds[:, column]).astype(float)
            if self._metric == "accuracy":
                columns.append(_ratio(weights @ hits, weights.sum(axis=1)))
            else:
                columns.append(self._ratio_of_labels(kinds[:, 0], kinds[:, column], hits, weights))
        return _means(self, np.stack(columns, axis=1))

    def _ratio_of_labels(
        self, right: NDArray[Any], predicted: NDArray[Any], hits: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        import numpy as np

        names = np.arange(len(self._labels))
        is_right, is_predicted = (right[:, None] == names).astype(float), (predicted[:, None] == names).astype(float)
        support, guesses = weights @ is_right, weights @ is_predicted
        both = weights @ (is_right * hits[:, None])
        whole = {"precision": guesses, "recall": support, "f1": (support + guesses) / 2}[self._metric]
        # As ibformers computes it: a label that is never predicted has a precision of 0.
        ratios = both / np.where(whole > 0, whole, 1.0)
        if self._field == _WEIGHTED:
            return _ratio((ratios * support).sum(axis=1), support.sum(axis=1))
        if self._field == _MACRO:
            return _ratio((ratios * (support > 0)).sum(axis=1), (support > 0).sum(axis=1).astype(float))
        chosen = self._labels.index(self._field)
        found: NDArray[np.float64] = np.where(support[:, chosen] > 0, ratios[:, chosen], np.nan)
        return found

    def rights(self, kinds: NDArray[Any], repeats: slice) -> NDArray[np.float64]:
        right: NDArray[np.float64] = (kinds[:, 1:][:, repeats] == kinds[:, :1]).mean(axis=1)
        return right


def _columns(
    new: Sequence[Results], old: Sequence[Results], metric: str, field: str
) -> tuple[_Measure, NDArray[Any]] | None:
    """Return how a metric is computed, and an array with a row for each document."""
    if not new or not old or not new[0] or any(one.keys() != new[0].keys() for one in (*new, *old)):
        return None
    fields = {name for one in new[0].values() for name in one}
    if metric in {*_RATIOS, *_RATES} and field in fields:
        found = _results_of(new, old, field)
        if found is not None and all(isinstance(one, WordCounts) for row in found for one in row):
            counts = [[number for one in row if isinstance(one, WordCounts) for number in one] for row in found]
            return _WordMeasure(metric, len(new), len(old)), _array(counts)
    if len(fields) == 1 and (metric in _RATIOS or (metric, field) == ("accuracy", _ALL)):
        found = _results_of(new, old, fields.pop())
        if found is not None and all(isinstance(one, Labels) for row in found for one in row):
            return _label_columns(found, metric, field, len(new))
    return None


def _label_columns(
    found: list[list[FieldResult]], metric: str, field: str, repeats: int
) -> tuple[_Measure, NDArray[Any]] | None:
    rows = [[one for one in row if isinstance(one, Labels)] for row in found]
    if any(one.right != row[0].right for row in rows for one in row):
        return None  # the rows of the same names are others
    names = sorted({name for row in rows for one in row for name in one})
    if metric != "accuracy" and field not in {_MACRO, _WEIGHTED, *names}:
        return None
    number = {name: index for index, name in enumerate(names)}
    array = _array([[number[row[0].right], *(number[one.predicted] for one in row)] for row in rows])
    return _LabelMeasure(metric, field, names, repeats, len(rows[0]) - repeats), array


def _results_of(new: Sequence[Results], old: Sequence[Results], field: str) -> list[list[FieldResult]] | None:
    """Return for each document the result of each run; None if a result is missing."""
    runs = (*new, *old)
    try:
        return [[run[document][field] for run in runs] for document in new[0]]
    except KeyError:
        return None


def _is_same(new: Sequence[Results], old: Sequence[Results], field: str, *, is_classifier: bool) -> bool:
    for document, fields in new[0].items():
        for name in fields if is_classifier else (field,):
            if len({run[document][name] for run in (*new, *old)}) > 1:
                return False
    return True


def _array(rows: list[list[int]]) -> NDArray[Any]:
    import numpy as np

    return np.array(rows, dtype=np.int64)


def _weights(counts: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Yield how often each kind of document is drawn in each resample, some resamples at a time."""
    import numpy as np

    rng = np.random.default_rng(_SEED)
    total = int(counts.sum())
    rows = max(1, _CELLS // len(counts))
    for start in range(0, RESAMPLES, rows):
        yield rng.multinomial(total, counts / total, size=min(rows, RESAMPLES - start)).astype(float)


def _differences(measure: _Measure, kinds: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    values = measure.values(kinds, weights)
    difference: NDArray[np.float64] = values[:, 0] - values[:, 1]
    return difference


def _means(measure: _Measure, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the repeats of the new and of the old run; array of shape (rows, 2)."""
    import numpy as np

    return np.stack([values[:, repeats].mean(axis=1) for repeats in (measure.new, measure.old)], axis=1)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    found: NDArray[np.float64] = np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), math.nan)
    return found
