"""Several trainings of one case, judged by their mean."""

from __future__ import annotations

import pytest

from pytest_ibmodels.verdicts.checks import BetterCheck, MetricCheck, MetricsVerdict
from pytest_ibmodels.verdicts.metrics import check_metrics
from pytest_ibmodels.verdicts.repeats import join_repeats, mean_values


def joined(*values: object, minimum: float | None = 0.9, maximum: float | None = None) -> MetricCheck:
    bounds = {"f1": {"Name": (minimum, maximum)}}
    verdicts = [check_metrics({"f1": {"Name": value}}, bounds) for value in values]
    (check,) = join_repeats(verdicts, range(42, 42 + len(values))).checks
    return check


def test_the_mean_is_judged_with_its_spread() -> None:
    check = joined(0.88, 0.92, 0.96)
    assert check.observed == pytest.approx(0.92)
    assert check.spread == pytest.approx(0.04)
    assert check.repeats == (0.88, 0.92, 0.96)
    assert (check.passed, check.noisy, check.remark) == (True, True, "noisy, 2 of 3 pass")


def test_a_mean_below_the_minimum_fails_and_is_noisy_all_the_same() -> None:
    check = joined(0.95, 0.7)
    assert (check.passed, check.noisy) == (False, True)
    verdict = MetricsVerdict((check,))
    assert verdict.what_failed == "1 of 1 metrics did not reach the minimum in the mean of 2 repeats"


@pytest.mark.parametrize("values", [(0.95, 0.96), (0.5, 0.6)])
def test_repeats_on_one_side_are_not_noisy(values: tuple[float, ...]) -> None:
    check = joined(*values)
    assert not check.noisy
    assert check.remark == ""


def test_a_maximum_has_two_sides_as_well() -> None:
    assert joined(0.3, 0.5, minimum=None, maximum=0.4).noisy


def test_equal_repeats_on_the_minimum_pass() -> None:
    check = joined(0.9, 0.9, 0.9)
    assert (check.passed, check.noisy, check.spread) == (True, False, 0.0)


@pytest.mark.parametrize("value", ["NAN", float("nan"), None, "x", 2.0])
def test_a_repeat_without_a_possible_number_fails_the_metric_and_is_named(value: object) -> None:
    check = joined(0.95, value)
    assert (check.passed, check.observed, check.spread, check.noisy) == (False, None, None, False)
    assert check.problem.startswith("with seed 43: ")
    assert check.repeats == (0.95, None)


def test_the_interval_is_the_mean_of_intervals_and_its_remark_is_new() -> None:
    verdicts = [
        check_metrics({"f1": {"Name": value}}, {"f1": {"Name": (0.9, None)}}, {"f1": {"Name": [value - 0.1, value]}})
        for value in (0.95, 0.99)
    ]
    (check,) = join_repeats(verdicts, (1, 2)).checks
    assert check.interval == pytest.approx((0.87, 0.97))
    assert check.remark == "the minimum lies within"


def test_better_than_current_is_that_of_the_first() -> None:
    better = BetterCheck("better_than_current", "f1", observed=0.5, verdict="holds")
    check = MetricCheck("f1", "Name", 0.9, 0.95)
    verdict = join_repeats([MetricsVerdict((check, better)), MetricsVerdict((check,))], (1, 2))
    assert verdict.checks[1] is better


def test_means_of_what_all_repeats_reported() -> None:
    reported = [
        ({"f1": {"Name": 0.5, "Total": 1.0}, "accuracy": 0.5}, {"f1": {"Name": [0.25, 0.75]}}),
        ({"f1": {"Name": 1.0, "Total": "NAN"}, "accuracy": 1.0}, {"f1": {"Name": [0.75, 1.25]}}),
    ]
    assert mean_values(reported) == [("f1", "Name", 0.75, (0.5, 1.0)), ("accuracy", "all", 0.75, None)]
    assert mean_values([]) == []
