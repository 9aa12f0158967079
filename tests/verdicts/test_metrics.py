from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.verdicts.metrics import check_metrics

REPORTED = {"f1": {"Name": 0.9, "Total": 0.5}, "recall": {"Name": 1}}
UNDEFINED = "undefined (NaN): the field was never predicted, or has no annotated words in the test documents"


@given(st.floats(0, 1), st.floats(0, 2))
def test_a_minimum_is_reached_or_not(observed: float, minimum: float) -> None:
    verdict = check_metrics({"f1": {"Name": observed}}, {"f1": {"Name": minimum}})
    assert verdict.passed == (observed >= minimum - min(1e-9, 1e-6 * minimum))
    assert verdict.checks[0].margin == observed - minimum


def test_each_minimum_is_checked_and_nothing_else() -> None:
    verdict = check_metrics(REPORTED, {"f1": {"Name": 0.8, "Total": 0.6}, "recall": {"Name": 1.0}})
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
    (check,) = check_metrics(reported, {"f1": {"Name": 0.0}}).checks
    assert check.problem == problem
    assert not check.passed
    assert check.observed is None


def test_no_minimum_passes() -> None:
    assert check_metrics(None, {}).passed
