"""Intervals of one model's metrics, and the comparison of two models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ibformers.statistics import bootstrap_weights, percentile_interval, wilson
from ibformers.tasks.text_classification.comparison import Evaluation, compare, metric_intervals
from ibformers.tasks.text_classification.metrics import MACRO, WEIGHTED, classification_metrics

if TYPE_CHECKING:
    from ibformers.tasks.text_classification.answers import Comparison

LABELS = ["bad", "so so", "good"]


def answers(actual: np.ndarray[Any, Any], wrong: float, seed: int, labels: int = 3) -> np.ndarray[Any, Any]:
    """Predictions of which a random fraction is wrong."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(actual)) < wrong, rng.integers(0, labels, len(actual)), actual)


def measured(actual: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any], names: list[str] = LABELS) -> Evaluation:
    return Evaluation(classification_metrics(LABELS, actual, chosen, None), names, chosen)


def compared(
    actual: np.ndarray[Any, Any],
    old: np.ndarray[Any, Any],
    new: np.ndarray[Any, Any],
    learned: np.ndarray[Any, Any] | None = None,
    **given: Any,
) -> Comparison:
    nothing = np.zeros(len(actual), dtype=bool)
    return compare(
        LABELS,
        actual,
        measured(actual, old),
        measured(actual, new),
        **{"learned": nothing if learned is None else learned, "seed": 1, "row": lambda row: (row + 1, f"text {row}")}
        | given,
    )


@pytest.fixture(scope="module")
def actual() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).choice(3, 400, p=[0.6, 0.3, 0.1])


def test_the_difference_of_a_pair_is_that_of_a_bootstrap_done_by_hand(actual: np.ndarray[Any, Any]) -> None:
    old, new = answers(actual, 0.3, 1), answers(actual, 0.2, 2)
    found = compared(actual, old, new)
    assert found.accuracy is not None
    assert found.f1 is not None
    rng, f1, accuracy = np.random.default_rng(7), [], []
    for _ in range(1000):
        rows = rng.integers(400, size=400)
        f1.append(
            f1_score(actual[rows], new[rows], average="weighted")
            - f1_score(actual[rows], old[rows], average="weighted")
        )
        accuracy.append((new == actual)[rows].mean() - (old == actual)[rows].mean())
    assert (found.f1.low, found.f1.high) == pytest.approx(np.quantile(f1, [0.05, 0.95]), abs=0.008)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(np.quantile(accuracy, [0.05, 0.95]), abs=0.008)
    assert found.f1.difference == found.f1.new - found.f1.old
    assert found.f1.new == pytest.approx(f1_score(actual, new, average="weighted"))
    assert (found.rows, found.learned, found.reason, found.confidence) == (400, 0, "", 0.9)
    assert found.only_old_right == int(((old == actual) & (new != actual)).sum()) == len(found.worse)
    assert found.only_new_right == int(((new == actual) & (old != actual)).sum())
    assert found == compared(actual, old, new), "the same seed gives the same interval"
    assert found.f1 != compared(actual, old, new, seed=2).f1


def test_the_same_answers_differ_by_nothing(actual: np.ndarray[Any, Any]) -> None:
    both = answers(actual, 0.3, 1)
    found = compared(actual, both, both)
    for difference in (found.accuracy, found.f1):
        assert difference is not None
        assert (difference.difference, difference.low, difference.high) == (0, 0, 0)
    assert found.accuracy is not None
    assert found.accuracy.p_value == 1
    assert (found.only_old_right, found.only_new_right, found.worse) == (0, 0, [])


def test_rows_that_got_worse_are_shown_and_long_texts_cut(actual: np.ndarray[Any, Any]) -> None:
    new = np.where(actual == 2, 0, actual)
    found = compared(actual, actual, new, row=lambda row: (row + 1, "é" * 500 if row % 2 else f"\ud800 {row}"))
    rows = np.flatnonzero(actual == 2)
    assert [one.row for one in found.worse] == [row + 1 for row in rows[:50]]
    assert {(one.label, one.old, one.new) for one in found.worse} == {("good", "good", "bad")}
    assert {len(one.text) for one in found.worse if one.row % 2 == 0} == {200}
    found.model_dump_json().encode()

    more = compared(actual, actual, (actual + 1) % 3)
    assert (len(more.worse), more.only_old_right) == (50, 400)


def test_an_answer_of_the_old_model_that_is_no_label_is_shown_by_its_name(actual: np.ndarray[Any, Any]) -> None:
    old = Evaluation(measured(actual, actual).metrics, ["so so", "awful", "bad"], np.where(actual == 1, 0, 1))
    new = np.zeros_like(actual)
    found = compare(LABELS, actual, old, measured(actual, new), np.zeros(400, bool), 1, lambda row: (row, ""))
    assert {(one.label, one.old, one.new) for one in found.worse} == {("so so", "so so", "bad")}
    assert found.accuracy is not None
    assert found.accuracy.old == pytest.approx((actual == 1).mean())


def test_rows_that_the_old_model_has_learned_are_left_out(actual: np.ndarray[Any, Any]) -> None:
    old, new = actual.copy(), answers(actual, 0.2, 2)
    learned = np.arange(400) < 300
    old[~learned] = 0
    found = compared(actual, old, new, learned)
    assert (found.rows, found.learned, found.reason) == (100, 300, "")
    assert found.accuracy is not None
    assert found.accuracy.old == pytest.approx((actual[300:] == 0).mean())
    assert all(one.row > 300 for one in found.worse)


@pytest.mark.parametrize("left", [0, 1, 29])
def test_too_few_rows_that_are_left_are_not_compared(actual: np.ndarray[Any, Any], left: int) -> None:
    found = compared(actual, actual, answers(actual, 0.2, 2), np.arange(400) >= left)
    assert (found.rows, found.learned, found.accuracy, found.f1) == (left, 400 - left, None, None)
    assert found.reason == (
        f"The model in use was trained with another split, and has learned {400 - left} of the 400 test rows; that "
        f"leaves {left} to compare on, and there must be at least 30."
    )


def test_what_was_learned_may_be_unknown(actual: np.ndarray[Any, Any]) -> None:
    old, new = measured(actual, actual), measured(actual, answers(actual, 0.2, 2))
    found = compare(LABELS, actual, old, new, None, 1, lambda row: (row, ""))
    assert (found.rows, found.learned, found.reason) == (400, None, "")
    assert found.f1 is not None


def test_every_metric_has_an_interval_around_it(actual: np.ndarray[Any, Any]) -> None:
    chosen = answers(actual, 0.3, 1)
    metrics = measured(actual, chosen).metrics
    found = metric_intervals(LABELS, actual, chosen, metrics, 1)
    for name in ("precision", "recall", "f1"):
        points, intervals = getattr(metrics, name), getattr(found, name)
        assert set(intervals) == set(points) == {*LABELS, MACRO, WEIGHTED}
        for key, (low, high) in intervals.items():
            assert 0 <= low < points[key] < high <= 1
    hits, rows = int(((chosen == 2) & (actual == 2)).sum()), int((actual == 2).sum())
    assert found.recall["good"] == wilson(hits, rows)
    assert found.precision["good"] == wilson(hits, int((chosen == 2).sum()))
    assert found.accuracy == found.recall[WEIGHTED] == wilson(int((chosen == actual).sum()), 400)
    (weights,) = bootstrap_weights(400, 5)
    values = [
        f1_score(actual, chosen, average="macro", sample_weight=weight) for weight in weights[:1000] if weight.any()
    ]
    assert found.f1[MACRO] == pytest.approx(percentile_interval(np.array(values)), abs=0.015)


def test_few_rows_that_are_all_right_are_no_certainty() -> None:
    actual = np.array([0, 1] * 10)
    found = metric_intervals(LABELS, actual, actual, measured(actual, actual).metrics, 1)
    for interval in (found.accuracy, found.f1[WEIGHTED], found.f1[MACRO]):
        assert interval == pytest.approx((0.839, 1.0), abs=1e-3)
    assert found.f1["bad"] == wilson(10, 10)
    assert set(found.f1) == {"bad", "so so", MACRO, WEIGHTED}, "labels without rows have no metrics"


def test_what_cannot_be_said_is_left_out() -> None:
    actual = np.array([0, 0, 1, 1])
    found = metric_intervals(LABELS, actual, np.zeros(4, int), measured(actual, np.zeros(4, int)).metrics, 1)
    assert "so so" not in found.precision  # it was never answered
    assert found.recall["so so"] == wilson(0, 2)
    assert found.f1["so so"] == pytest.approx(wilson(0, 2))


def test_one_row_is_enough_for_an_answer() -> None:
    one = np.array([1])
    assert metric_intervals(LABELS, one, one, measured(one, one).metrics, 1).accuracy == wilson(1, 1)
    assert compared(one, one, np.array([0])).only_old_right == 1


def test_many_rows_and_labels() -> None:
    rng = np.random.default_rng(0)
    actual = rng.integers(0, 300, 20_000)
    names = [str(number) for number in range(300)]
    old, new = (answers(actual, 0.1, seed, labels=300) for seed in (1, 2))
    first, second = (
        Evaluation(classification_metrics(names, actual, chosen, None), names, chosen) for chosen in (old, new)
    )
    found = compare(names, actual, first, second, np.zeros(20_000, bool), 1, lambda row: (row, ""))
    metric_intervals(names, actual, new, second.metrics, 1)
    assert found.f1 is not None
    assert found.f1.high - found.f1.low < 0.02
