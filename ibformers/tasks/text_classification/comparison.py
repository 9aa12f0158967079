"""Confidence intervals of a model's metrics, and the comparison of two models on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, hstack

from ibformers.statistics import bootstrap_interval, bootstrap_weights, mcnemar, percentile_interval, wilson
from ibformers.tasks.text_classification.answers import (
    MIN_ROWS,
    AccuracyDifference,
    Comparison,
    Difference,
    Intervals,
    WorseRow,
)
from ibformers.tasks.text_classification.metrics import MACRO, WEIGHTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ibformers.tasks.text_classification.answers import Interval, Metrics

CONFIDENCE = 0.9
"""Confidence of the interval of a difference; its ends are one-sided bounds of 95 %."""

MAX_WORSE, MAX_CHARACTERS = 50, 200
"""Maximum number of rows in `Comparison.worse`, and of characters in the text of each."""

_CHUNK = 250
"""Resamples summed at a time, which limits memory with many labels."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics and predictions of a model on the test rows.

    Attributes:
        metrics: metrics of the predictions.
        names: labels of the model's outputs.
        outputs: index of the predicted output for each test row.
    """

    metrics: Metrics
    names: Sequence[str]
    outputs: NDArray[np.int64]

    def numbers(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return the predictions as indices into `labels`; -1 is a label that is not among them."""
        return label_numbers(self.names, labels)[self.outputs]


def label_numbers(names: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each name in `labels`, or -1, which is never right, for other names."""
    known = {label: number for number, label in enumerate(labels)}
    return np.array([known.get(name, -1) for name in names], dtype=np.int64)


def metric_intervals(
    labels: Sequence[str], actual: NDArray[np.int64], answers: NDArray[np.int64], metrics: Metrics, seed: int
) -> Intervals:
    """Compute the interval of each metric.

    Args:
        labels: names of the labels.
        actual: index of the right label for each test row.
        answers: index of the predicted label, or -1, for each test row.
        metrics: metrics of the predictions.
        seed: seed of the bootstrap.
    """
    seen = np.unique(actual)
    f1, averages = [], []
    for support, ((hits, guesses),) in _resamples(seen, actual, [answers], seed):
        scores = _scores(support, hits, guesses)
        f1.append(scores[2])
        averages.append([[_macro(values, support), _weighted(values, support)] for values in scores])
    label_f1, average = np.concatenate(f1), np.concatenate(averages, axis=2)
    right = actual == answers
    accuracy = wilson(int(right.sum()), len(right))

    def averaged(score: int, points: dict[str, float]) -> dict[str, Interval | None]:
        counts = int(right.sum()), len(right)
        return {
            name: bootstrap_interval(points[name], average[score, place], *counts)
            for place, name in enumerate((MACRO, WEIGHTED))
        }

    found: list[dict[str, Interval | None]] = [{}, {}, {}]
    for place, number in enumerate(seen.tolist()):
        name, real, guessed = labels[number], actual == number, answers == number
        hit = int((real & guessed).sum())
        found[0][name] = wilson(hit, int(guessed.sum())) if guessed.any() else None
        found[1][name] = wilson(hit, int(real.sum()))
        found[2][name] = bootstrap_interval(metrics.f1[name], label_f1[:, place], hit, int((real | guessed).sum()))
    precision, recall, f1_score = (
        {name: interval for name, interval in (found[score] | averaged(score, points)).items() if interval}
        for score, points in enumerate((metrics.precision, metrics.recall, metrics.f1))
    )
    return Intervals(accuracy=accuracy, precision=precision, recall=recall | {WEIGHTED: accuracy}, f1=f1_score)


def compare(
    labels: Sequence[str],
    actual: NDArray[np.int64],
    old: Evaluation,
    new: Evaluation,
    learned: NDArray[np.bool_] | None,
    seed: int,
    row: Callable[[int], tuple[int, str]],
) -> Comparison:
    """Compare two models on the test rows that the old one was not trained on.

    Args:
        labels: names of the labels.
        actual: index of the right label for each test row.
        old: evaluation of the model in use.
        new: evaluation of the new model.
        learned: whether the model in use was trained on each test row; None if that is not known.
        seed: seed of the bootstrap.
        row: returns number and text of a test row.
    """
    kept = np.arange(len(actual)) if learned is None else np.flatnonzero(~learned)
    left_out = len(actual) - len(kept)
    right = actual[kept]
    answers = [model.numbers(labels)[kept] for model in (old, new)]
    old_right, new_right = (right == answer for answer in answers)
    only_old, only_new = int((old_right & ~new_right).sum()), int((new_right & ~old_right).sum())
    worse = []
    for index in kept[old_right & ~new_right][:MAX_WORSE].tolist():
        number, text = row(index)
        names = (labels[actual[index]], *(model.names[model.outputs[index]] for model in (old, new)))
        worse.append(WorseRow(row=number, text=_shortened(text), label=names[0], old=names[1], new=names[2]))
    accuracy = f1 = None
    reason = _reason(len(actual), left_out)
    if not reason:
        low_high = _difference_intervals(right, answers, seed)
        accuracy = AccuracyDifference(
            **_difference([float(old_right.mean()), float(new_right.mean())], low_high[0]),
            p_value=mcnemar(only_old, only_new),
        )
        f1 = Difference(**_difference([_weighted_f1(right, answer) for answer in answers], low_high[1]))
    return Comparison(
        rows=len(kept),
        learned=None if learned is None else left_out,
        reason=reason,
        confidence=CONFIDENCE,
        accuracy=accuracy,
        f1=f1,
        only_old_right=only_old,
        only_new_right=only_new,
        worse=sorted(worse, key=lambda one: one.row),
    )


def _reason(rows: int, learned: int) -> str:
    if not learned or rows - learned >= MIN_ROWS:
        return ""
    return (
        f"The model in use was trained with another split, and has learned {learned} of the {rows} test rows; that "
        f"leaves {rows - learned} to compare on, and there must be at least {MIN_ROWS}."
    )


def _difference(points: Sequence[float], interval: Interval) -> dict[str, Any]:
    old, new = points
    difference = new - old
    low, high = interval
    return {
        "old": old,
        "new": new,
        "difference": difference,
        "low": min(low, difference),
        "high": max(high, difference),
    }


def _difference_intervals(
    actual: NDArray[np.int64], answers: Sequence[NDArray[np.int64]], seed: int
) -> tuple[Interval, Interval]:
    """Return the intervals of new minus old for accuracy and weighted F1, by a paired bootstrap over rows."""
    accuracy, f1 = [], []
    for support, sums in _resamples(np.unique(actual), actual, answers, seed):
        rows = support.sum(axis=1)
        old_right, new_right = (hits.sum(axis=1) / rows for hits, _ in sums)
        accuracy.append(new_right - old_right)
        old_f1, new_f1 = (_weighted(_scores(support, *counts)[2], support) for counts in sums)
        f1.append(new_f1 - old_f1)
    return (
        percentile_interval(np.concatenate(accuracy), CONFIDENCE),
        percentile_interval(np.concatenate(f1), CONFIDENCE),
    )


def _weighted_f1(actual: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    seen, support = np.unique(actual, return_counts=True)
    hits = np.array([(answers[actual == number] == number).sum() for number in seen])
    guesses = np.array([(answers == number).sum() for number in seen])
    return float(_weighted(_scores(support[None], hits[None], guesses[None])[2], support[None])[0])


def _resamples(
    seen: NDArray[np.int64], actual: NDArray[np.int64], answers: Sequence[NDArray[np.int64]], seed: int
) -> Iterator[tuple[NDArray[np.int64], list[tuple[NDArray[np.int64], NDArray[np.int64]]]]]:
    """Resample the test rows with the predictions of all models.

    Rows with the same label and the same predictions are drawn as one kind, so the time depends on the number of kinds.

    Yields:
        Arrays of shape (resamples, labels) for a part of the resamples: the rows of each label in `seen`, and for each
        model the right predictions and all predictions of each label.
    """
    kinds, counts = np.unique(np.stack([actual, *answers]), axis=1, return_counts=True)
    label, *answer_of = kinds
    parts = [_indicator(seen, label, np.full(len(label), fill_value=True))]
    for answer in answer_of:
        parts += [_indicator(seen, label, answer == label), _indicator(seen, answer, np.isin(answer, seen))]
    columns = hstack(parts, format="csc").T
    for weights in bootstrap_weights(counts, seed):
        for start in range(0, len(weights), _CHUNK):
            sums = (columns @ weights[start : start + _CHUNK].T).T
            support, *pairs = np.split(sums, len(parts), axis=1)
            yield support, list(zip(pairs[::2], pairs[1::2], strict=True))


def _indicator(seen: NDArray[np.int64], numbers: NDArray[np.int64], where: NDArray[np.bool_]) -> csr_array:
    """Return a matrix of shape (kinds, labels): 1 where a kind of `where` has the label."""
    rows = np.flatnonzero(where)
    columns = np.searchsorted(seen, numbers[rows])
    return csr_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(len(numbers), len(seen)))


def _scores(
    support: NDArray[np.int64], hits: NDArray[np.int64], guesses: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return precision, recall and F1 of each label; F1 is NaN for a label without rows and predictions."""
    either = support + guesses
    f1 = np.where(either > 0, 2 * hits / np.maximum(either, 1), np.nan)
    return hits / np.maximum(guesses, 1), hits / np.maximum(support, 1), f1


def _macro(values: NDArray[np.float64], support: NDArray[np.int64]) -> NDArray[np.float64]:
    there = support > 0
    return np.asarray(np.where(there, values, 0).sum(axis=1) / there.sum(axis=1))


def _weighted(values: NDArray[np.float64], support: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.where(support > 0, values * support, 0).sum(axis=1) / support.sum(axis=1))


def _shortened(text: str) -> str:
    # A lone surrogate cannot be written as UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
