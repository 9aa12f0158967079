from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.verdicts.checks import MetricCheck
from pytest_ibmodels.verdicts.metrics import check_metrics, is_low_better
from pytest_ibmodels.verdicts.parts import TestPart, read_test_part

REPORTED = {"f1": {"Name": 0.9, "Total": 0.5}, "recall": {"Name": 1}}
UNDEFINED = "undefined (NaN): the field was never predicted, or has no annotated words in the test documents"


@given(st.floats(0, 1), st.floats(0, 2))
def test_a_minimum_is_reached_or_not(observed: float, minimum: float) -> None:
    verdict = check_metrics({"f1": {"Name": observed}}, {"f1": {"Name": (minimum, None)}})
    assert verdict.passed == (observed >= minimum - min(1e-9, 1e-6 * minimum))
    assert verdict.checks[0].margin == observed - minimum


def test_each_minimum_is_checked_and_nothing_else() -> None:
    verdict = check_metrics(
        REPORTED, {"f1": {"Name": (0.8, None), "Total": (0.6, None)}, "recall": {"Name": (1.0, None)}}
    )
    assert [(check.metric, check.field, check.passed) for check in verdict.checks] == [
        ("f1", "Name", True),
        ("f1", "Total", False),
        ("recall", "Name", True),
    ]
    assert not verdict.passed
    assert [check.field for check in verdict.failures] == ["Total"]


@pytest.mark.parametrize(
    ("reported", "problem"),
    [
        (None, "the environment reported no metrics"),
        ({}, "the environment reported no metrics"),
        ({"f11": {"Name": 1.0}}, "the environment did not report this metric; it reported f11 (did you mean 'f11'?)"),
        ({"recall": {}}, "the environment did not report this metric; it reported recall"),
        ({"f1": 0.9}, "reported as 0.9, not as one value per field"),
        (
            {"f1": {"Nmae": 1.0, "Total": 1.0}},
            "the model has no such field; its fields are Nmae, Total (did you mean 'Nmae'?)",
        ),
        ({"f1": {}}, "the model has no such field; its fields are none"),
        ({"f1": {"Name": "NAN"}}, UNDEFINED),
        ({"f1": {"Name": math.nan}}, UNDEFINED),
        ({"f1": {"Name": None}}, "reported as null, without a value"),
        ({"f1": {"Name": "0.9"}}, 'reported as the text "0.9", not as a number'),
        ({"f1": {"Name": "abc"}}, 'reported as the text "abc", not as a number'),
        ({"f1": {"Name": True}}, "reported as true, not as a number"),
        ({"f1": {"Name": [0.9]}}, "reported as [0.9], not as a number"),
        ({"f1": {"Name": math.inf}}, "infinite"),
    ],
)
def test_what_is_no_number_never_passes_and_says_why(reported: object, problem: str) -> None:
    (check,) = check_metrics(reported, {"f1": {"Name": (0.0, None)}}).checks
    assert check.problem == problem
    assert not check.passed
    assert check.observed is None


def test_no_minimum_passes() -> None:
    assert check_metrics(None, {}).passed


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "exact_match", "accuracy"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (41.7, "reported as 41.7, above 1: is it in percent?"),
        (1.01, "reported as 1.01, above 1: is it in percent?"),
        (100, "reported as 100, above 1: is it in percent?"),
        (-0.2, "reported as -0.2, below 0: "),
    ],
)
def test_a_share_outside_its_range_is_a_fault_of_its_own(metric: str, value: float, problem: str) -> None:
    for bounds in ((0.0, None), (0.9, None), (1.0, None), (None, 0.9), (0.0, 1.0)):
        (check,) = check_metrics({metric: {"Name": value}}, {metric: {"Name": bounds}}).checks
        assert not check.passed
        assert check.problem.startswith(problem)


def test_percents_are_held_to_percents_and_other_metrics_to_anything() -> None:
    assert check_metrics({"f1": {"Name": 91.5}}, {"f1": {"Name": (90.0, None)}}).passed
    assert not check_metrics({"f1": {"Name": 0.95}}, {"f1": {"Name": (1.01, None)}}).passed
    assert check_metrics({"rmse": {"Name": 41.7}}, {"rmse": {"Name": (None, 50.0)}}).passed
    assert check_metrics({"f1": {"Name": 1 + 1e-12}, "recall": {"Name": -1e-12}}, {"f1": {"Name": (1.0, None)}}).passed


@pytest.mark.parametrize(
    ("value", "bounds", "margin"),
    [
        (0.3, (None, 0.4), 0.1),
        (0.5, (None, 0.4), -0.1),
        (0.5, (0.4, 0.7), 0.1),
        (0.6, (0.4, 0.7), 0.1),
        (0.3, (0.4, 0.7), -0.1),
        (0.1 + 0.2, (None, 0.3), 0.0),
        (0.9 - 1e-12, (0.9, None), 0.0),
    ],
)
def test_bounds_hold_on_either_side(value: float, bounds: tuple[float | None, float | None], margin: float) -> None:
    (check,) = check_metrics({"loss": value}, {"loss": {"all": bounds}}).checks
    assert check.passed == (margin >= 0)
    assert check.margin == pytest.approx(margin, abs=1e-9)


def test_the_calibration_error_is_a_fraction_that_should_be_low() -> None:
    assert is_low_better("ece")
    assert is_low_better("ece_20")
    checks = [check_metrics({"ece": value}, {"ece": {"all": (None, 0.08)}}).checks[0] for value in (0.07, 0.09, 7.0)]
    assert [check.passed for check in checks] == [True, False, False]
    assert checks[2].problem == "reported as 7, above 1: is it in percent?"


def test_small_bounds_have_small_tolerances() -> None:
    assert not check_metrics({"loss": 2e-9}, {"loss": {"all": (None, 1e-9)}}).passed
    assert not check_metrics({"f1": {"Name": 0.0}}, {"f1": {"Name": (1e-12, None)}}).passed


@pytest.mark.parametrize("value", [10**400, -(10**400), math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("bounds", [(None, 1.0), (0.0, None)])
def test_what_is_not_finite_passes_no_bound(value: float, bounds: tuple[float | None, float | None]) -> None:
    (check,) = check_metrics({"loss": {"all": value}}, {"loss": {"all": bounds}}).checks
    assert not check.passed
    assert check.problem


@pytest.mark.parametrize(
    ("given_interval", "interval", "remark"),
    [
        ([0.84, 1.0], (0.84, 1.0), "the minimum lies within"),
        ([0.95, 1.0], (0.95, 1.0), ""),
        ([0.96, 1], (0.96, 1.0), ""),
        (None, None, ""),
        ("0.84 to 1", None, 'its interval was reported as "0.84 to 1", not as two numbers'),
        ([1.0, 0.84], None, "its interval was reported as [1.0, 0.84], not as two numbers"),
        ([0.5, math.nan], None, "its interval was reported as [0.5, NaN], not as two numbers"),
        ([84, 100], None, "its interval was reported as 84 to 100, but f1 lies between 0 and 1"),
    ],
)
def test_intervals_stand_beside_values_and_decide_nothing(
    given_interval: object, interval: object, remark: str
) -> None:
    intervals = {"f1": {"Name": given_interval}}
    (check,) = check_metrics({"f1": {"Name": 1.0}}, {"f1": {"Name": (0.95, None)}}, intervals).checks
    assert check.passed
    assert (check.interval, check.remark) == (interval, remark)


@pytest.mark.parametrize("intervals", [None, [], "x", {"f1": 5}, {"f1": None}, {"other": {}}])
def test_intervals_that_are_none_are_none(intervals: object) -> None:
    (check,) = check_metrics({"f1": {"Name": 1.0}}, {"f1": {"Name": (0.95, None)}}, intervals).checks
    assert (check.passed, check.interval, check.remark) == (True, None, "")


def test_the_interval_of_a_metric_of_one_value_stands_below_its_name() -> None:
    (check,) = check_metrics({"accuracy": 0.9}, {"accuracy": {"all": (0.85, None)}}, {"accuracy": [0.8, 0.96]}).checks
    assert (check.interval, check.remark) == ((0.8, 0.96), "the minimum lies within")


@pytest.mark.parametrize(
    ("value", "low", "high", "minimum", "told"),
    [
        # The Wilson intervals of 20 of 20 and 18 of 20; with 73 of 73 and 77 of 86 right, the bound is just outside.
        (1.0, 0.8389, 1.0, 0.95, "about 73 documents"),
        (0.9, 0.6990, 0.9721, 0.95, "about 73 documents"),
        (0.9, 0.6990, 0.9721, 0.9, ""),
    ],
)
def test_a_bound_within_the_interval_says_how_many_documents_would_tell(
    value: float, low: float, high: float, minimum: float, told: str
) -> None:
    part = TestPart("documents", 20, "0" * 16)
    reported, bounds = {"exact_match": {"A": value}}, {"exact_match": {"A": (minimum, None)}}
    (check,) = check_metrics(reported, bounds, {"exact_match": {"A": [low, high]}}, part).checks
    assert check.remark == f"the minimum lies within{told and f', {told} would tell'}"


def test_a_label_without_test_rows_says_what_helps() -> None:
    part, problem = read_test_part(PART)
    assert problem == ""
    reported = {"f1": {"odd one": 1.0, "odd three": 0.0}}
    wanted = {"f1": dict.fromkeys(("odd two", "odd three", "odd four"), (0.5, None))}
    two, three, four = check_metrics(reported, wanted, None, part).checks
    assert two.problem == (
        "none of the 40 test rows has this label, so nothing was measured: add rows, lower p_of_train, or choose a "
        "split_column that puts rows with this label into the test part"
    )
    assert (three.observed, three.remark) == (0.0, "no test row has it")
    assert four.problem.startswith("the model has no such field")


PART = {"unit": "rows", "count": 40, "fingerprint": "0123456789abcdef", "seed": 42, "split": "text", "duplicates": 3}
PART |= {"labels_without_test_rows": ["odd two", "odd three"]}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"count": "40"}, "its 'count' is \"40\", not a whole number from 0"),
        ({"count": -1}, "its 'count' is -1, not a whole number from 0"),
        ({"fingerprint": 5}, "its 'fingerprint' is 5, not a string"),
        ({"unit": ["rows"]}, "its 'unit' is [\"rows\"], neither rows nor documents"),
    ],
)
def test_a_test_part_that_cannot_be_read_is_left_out(change: dict[str, object], problem: str) -> None:
    assert read_test_part(PART | change) == (None, problem)
    assert read_test_part(None) == (None, "")
    assert read_test_part("x") == (None, 'it is "x", not an object')


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"minimum": "0.9"}, TypeError),
        ({"minimum": 0.9, "observed": True}, TypeError),
        ({}, ValueError),
        ({"minimum": math.nan}, ValueError),
        ({"minimum": 0.9, "maximum": 0.5}, ValueError),
    ],
)
def test_a_check_of_a_project_is_refused_where_it_can_mean_nothing(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="own"):
        MetricCheck("own", "all", **arguments)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_check_of_a_project_without_a_finite_number_fails(value: float) -> None:
    check = MetricCheck("own", "all", maximum=1.0, observed=value)
    assert (check.passed, check.observed) == (False, None)
    assert check.problem
