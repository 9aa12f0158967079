"""Comparisons of two runs on the same documents, against values that are computed in other ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ibformers.tasks.text_classification.comparison import Evaluation, compare
from ibformers.tasks.text_classification.metrics import classification_metrics
from pytest_ibmodels.history.paired import paired_difference, worse_documents
from pytest_ibmodels.verdicts.results import Labels, Results, WordCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = ["bad", "fine", "good"]
ROWS = 300


def classified(actual: NDArray[Any], predicted: NDArray[Any]) -> Results:
    return {
        f"row-{row}": {"Stars": Labels(LABELS[right], LABELS[answer])}
        for row, (right, answer) in enumerate(zip(actual.tolist(), predicted.tolist(), strict=True))
    }


def answers(actual: NDArray[Any], share: float, seed: int) -> NDArray[Any]:
    """Predictions of which about so many are right."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(actual)) < share, actual, rng.integers(0, 3, len(actual)))


@pytest.fixture(scope="module")
def actual() -> NDArray[Any]:
    return np.random.default_rng(1).integers(0, 3, ROWS)


@pytest.mark.parametrize(("metric", "field"), [("accuracy", "all"), ("f1", "weighted avg")])
def test_a_classifier_is_compared_as_in_its_own_training(actual: NDArray[Any], metric: str, field: str) -> None:
    predicted = [answers(actual, share, seed) for share, seed in ((0.8, 2), (0.7, 3))]
    first, second = (Evaluation(classification_metrics(LABELS, actual, one, None), LABELS, one) for one in predicted)
    theirs = compare(LABELS, actual, first, second, np.zeros(ROWS, dtype=bool), 42, lambda row: (row, ""))
    expected = theirs.accuracy if metric == "accuracy" else theirs.f1
    assert expected is not None
    old, new = (classified(actual, one) for one in predicted)
    found = paired_difference([new], [old], (expected.new, expected.old), metric, field)
    assert found is not None
    assert found.difference == pytest.approx(expected.difference)
    # Both draw 2,000 resamples, but not the same ones.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)
    counts = (theirs.only_old_right, theirs.only_new_right, theirs.rows)
    assert (found.only_old_right, found.only_new_right, found.documents) == counts


@pytest.mark.parametrize("field", [*LABELS, "macro avg", "weighted avg"])
@pytest.mark.parametrize("metric", ["precision", "recall", "f1"])
def test_every_metric_of_a_classifier_is_computed_from_rows(actual: NDArray[Any], metric: str, field: str) -> None:
    predicted = [answers(actual, share, seed) for share, seed in ((0.6, 2), (0.5, 3))]
    values = [getattr(classification_metrics(LABELS, actual, one, None), metric)[field] for one in predicted]
    new, old = (classified(actual, one) for one in predicted)
    found = paired_difference([new], [old], (values[0], values[1]), metric, field)
    assert found is not None
    assert found.difference == pytest.approx(values[0] - values[1])
    assert found.low < found.difference < found.high
    assert paired_difference([new], [old], (values[0] + 0.01, values[1]), metric, field) is None


def words(*counts: tuple[int, int, int, int]) -> Results:
    return {f"{number}.ibdoc": {"Total": WordCounts(*one)} for number, one in enumerate(counts)}


NEW = words(*[(2, 2, 2, 1)] * 20, *[(3, 2, 1, 0)] * 10)
OLD = words(*[(2, 2, 2, 1)] * 25, *[(2, 2, 1, 0)] * 5)


@pytest.mark.parametrize(
    ("metric", "new", "old"),
    [("precision", 50 / 70, 55 / 60), ("recall", 50 / 60, 55 / 60), ("f1", 100 / 130, 110 / 120)],
)
def test_metrics_over_words_are_ratios_of_sums(metric: str, new: float, old: float) -> None:
    found = paired_difference([NEW], [OLD], (new, old), metric, "Total")
    assert found is not None
    assert found.difference == pytest.approx(new - old)
    assert found.low < found.difference < found.high < 0
    assert (found.only_old_right, found.only_new_right, found.documents, found.is_same) == (5, 0, 30, False)


def test_exact_match_has_the_interval_of_a_paired_proportion() -> None:
    found = paired_difference([NEW], [OLD], (20 / 30, 25 / 30), "exact_match", "Total")
    assert found is not None
    # Five of 30 differences are -1, the others 0.
    half = 1.645 * np.sqrt(5 / 30 * 25 / 30 / 30)
    assert (found.low, found.high) == pytest.approx((-5 / 30 - half, -5 / 30 + half), abs=0.04)


def test_values_that_are_neither_annotated_nor_predicted_do_not_count() -> None:
    new = words(*[(2, 2, 0, 1)] * 12, *[(1, 0, 0, 0)] * 8, *[(0, 0, 0, 1)] * 10)
    old = words(*[(2, 2, 0, 1)] * 12, *[(0, 0, 0, 1)] * 18)
    found = paired_difference([new], [old], (24 / 32, 24 / 24), "value_f1", "Total")
    assert found is not None
    assert found.difference == pytest.approx(-0.25)
    assert found.low < found.difference < found.high < 0
    assert (found.only_old_right, found.only_new_right, found.documents) == (8, 0, 30)


def test_repeats_are_compared_by_their_means() -> None:
    found = paired_difference([NEW, OLD], [OLD], ((20 / 30 + 25 / 30) / 2, 25 / 30), "exact_match", "Total")
    assert found is not None
    assert found.difference == pytest.approx(-2.5 / 30)
    assert (found.only_old_right, found.only_new_right) == (5, 0)


def test_the_same_results_are_called_the_same() -> None:
    found = paired_difference([OLD], [OLD], (25 / 30, 25 / 30), "exact_match", "Total")
    assert found is not None
    assert (found.is_same, found.low, found.high) == (True, 0.0, 0.0)


@pytest.mark.parametrize(
    "other",
    [
        {},
        words((2, 2, 2, 1)),
        {name: {"Name": WordCounts(2, 2, 2, 1)} for name in NEW},
        {name: {"Total": Labels("a", "b")} for name in NEW},
    ],
    ids=["none", "other documents", "other fields", "another kind"],
)
def test_other_documents_are_not_compared(other: Results) -> None:
    for pair in (([NEW], [other]), ([other], [NEW])):
        assert paired_difference(*pair, (20 / 30, 20 / 30), "exact_match", "Total") is None


def test_rows_of_the_same_name_with_other_labels_are_other_rows(actual: NDArray[Any]) -> None:
    moved = np.roll(actual, 1)
    runs = [classified(actual, actual)], [classified(moved, moved)]
    assert paired_difference(*runs, (1.0, 1.0), "accuracy", "all") is None


def test_documents_that_got_worse_are_named_with_their_fields() -> None:
    old = {
        "a": {"Name": WordCounts(1, 1, 1, 1), "Total": WordCounts(1, 1, 1, 1)},
        "b": {"Name": WordCounts(1, 2, 1, 0), "Total": WordCounts(0, 1, 0, 0)},
        "c": {"Name": WordCounts(1, 1, 1, 1), "Total": WordCounts(0, 1, 0, 0)},
    }
    new = {
        "a": {"Name": WordCounts(1, 1, 1, 1), "Total": WordCounts(2, 1, 1, 0)},
        "b": {"Name": WordCounts(1, 2, 0, 0), "Total": WordCounts(1, 1, 1, 1)},
        "c": {"Name": WordCounts(0, 1, 0, 0), "Total": WordCounts(0, 1, 0, 0)},
    }
    assert [(one.document, one.fields) for one in worse_documents([new], [old])] == [
        ("a", ("Total",)),
        ("b", ("Name",)),
        ("c", ("Name",)),
    ]
    assert worse_documents([new], [new]) == []
