"""The check `better_than_current`: by the interval of the difference, or by two values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.verdicts.better import judge_difference, mcnemar, rows_to_decide
from pytest_ibmodels.verdicts.paired import check_better

IN_USE = {"version": "1", "has_learned": True, "evaluation_results": {"f1": {"weighted avg": 0.8}}}


def comparison(difference: float = 0.0, half: float = 0.02, rows: object = 400, **changed: Any) -> dict[str, Any]:
    both = {"old": 0.8, "new": 0.8 + difference, "difference": difference}
    both |= {"low": difference - half, "high": difference + half}
    known = {"rows": rows, "learned": 0, "reason": "", "confidence": 0.9, "accuracy": dict(both), "f1": dict(both)}
    known |= {"only_old_right": 5, "only_new_right": 5}
    known["worse"] = [{"row": 17, "text": "a dress", "label": "1", "old": "1", "new": "2"}]
    return known | changed


def f1(**changed: Any) -> dict[str, Any]:
    return comparison(f1={**comparison()["f1"], **changed})


@pytest.mark.parametrize(
    ("difference", "half", "max_drop", "verdict"),
    [
        (0.0, 0.005, 0.01, "holds"),
        (0.0, 0.01, 0.01, "holds"),  # exactly as much as is allowed
        (0.0, 0.0, 0.0, "holds"),  # the same model
        (0.0, 0.02, 0.01, "undecided"),
        (-0.05, 0.02, 0.01, "fails"),
        (-0.03, 0.02, 0.01, "undecided"),  # the upper end is exactly what is allowed
        (0.05, 0.02, 0.0, "holds"),
    ],
)
def test_the_whole_interval_decides(difference: float, half: float, max_drop: float, verdict: str) -> None:
    assert judge_difference(difference, difference - half, difference + half, 400, 20, 20, max_drop) == verdict


@pytest.mark.parametrize(
    ("old", "new", "verdict"), [(0, 0, "undecided"), (4, 0, "undecided"), (5, 0, "fails"), (0, 9, "undecided")]
)
def test_few_rows_never_show_that_a_model_is_as_good(old: int, new: int, verdict: str) -> None:
    difference = (new - old) / 29
    assert judge_difference(difference, difference, difference, 29, old, new, 0.0) == verdict


@pytest.mark.parametrize(("difference", "verdict"), [(-0.2, "undecided"), (0.2, "holds")])
def test_rows_that_the_model_in_use_may_have_learned_do_not_show_that_a_model_is_worse(
    difference: float, verdict: str
) -> None:
    found = check_better({}, IN_USE, 0.01, comparison(difference, learned=None))
    assert found is not None
    assert (found.verdict, found.passed) == (verdict, True)


def test_the_exact_test_is_one_sided() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == 1 / 32
    assert math.isclose(mcnemar(8, 2), 56 / 1024)
    assert mcnemar(2000, 1000) < 1e-60


@pytest.mark.parametrize(
    ("difference", "half", "rows", "max_drop", "needed"),
    [
        (0.0, 0.02, 400, 0.01, 1600),
        (-0.005, 0.015, 400, 0.01, 3600),
        (-0.01, 0.02, 400, 0.01, None),
        (0.0, 0.0, 20, 0.01, 30),
        (0.05, 0.01, 10, 0.01, 30),
    ],
)
def test_how_many_rows_would_decide(
    difference: float, half: float, rows: int, max_drop: float, needed: int | None
) -> None:
    assert rows_to_decide(difference, difference - half, difference + half, rows, max_drop) == needed


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 50))
def test_two_values_are_compared_as_the_decimals_that_they_are(old: int, new: int, drop: int) -> None:
    current = {"has_learned": True, "evaluation_results": {"f1": {"weighted avg": old / 100}}}
    check = check_better({"f1": {"weighted avg": new / 100}}, current, drop / 100)
    assert check is not None
    assert check.passed == (new >= old - drop)
    assert (check.verdict, check.comparison) == ("holds" if check.passed else "fails", None)


def test_a_model_that_has_learned_nothing_is_compared_with_nothing() -> None:
    assert check_better({}, {"has_learned": False}, 0.0) is None


@pytest.mark.parametrize("if_undecided", ["pass", "fail"])
def test_what_is_undecided_passes_or_fails_as_asked(if_undecided: Any) -> None:
    check = check_better({}, IN_USE, 0.01, comparison(), if_undecided)
    assert check is not None
    assert (check.verdict, check.passed, check.needed) == ("undecided", if_undecided == "pass", 1600)


def test_a_reason_in_place_of_numbers_is_undecided() -> None:
    nothing = comparison(f1=None, accuracy=None, rows=0, learned=40, reason="All test rows were learned.")
    nothing |= {"only_old_right": 0, "only_new_right": 0, "worse": []}
    check = check_better({}, IN_USE, 0.01, nothing)
    assert check is not None
    assert (check.verdict, check.passed, check.observed, check.minimum) == ("undecided", True, None, None)


@pytest.mark.parametrize(
    ("reported", "problem"),
    [
        ("good", 'it is "good", not an object'),
        ([], "it is [], not an object"),
        ({}, "it has no 'rows'"),
        (comparison(rows="400"), "its 'rows' is \"400\", not a whole number from 0"),
        (comparison(rows=-1), "its 'rows' is -1, not a whole number from 0"),
        (comparison(rows=True), "its 'rows' is true, not a whole number from 0"),
        (comparison(rows=9), "more rows are right for one model only than its 9 rows"),
        (comparison(learned="all"), "its 'learned' is \"all\", not a whole number from 0"),
        (comparison(reason=None), "its 'reason' is null, not a string"),
        (comparison(confidence=0.5), "its confidence is 0.5, where at least 0.9 is needed"),
        (comparison(f1=None), "it has neither an f1 nor a reason why there is none"),
        (comparison(f1=[0.1, 0.2]), "its 'f1' is [0.1, 0.2], not an object"),
        (comparison(worse="none"), "its 'worse' is \"none\", not a list of rows"),
        (comparison(worse=[{"row": 1}]), "it has no 'text'"),
        (f1(low="-0.02"), "its f1 'low' is \"-0.02\", not a number"),
        (f1(low=math.nan), "its f1 'low' is NaN, not a number"),
        (f1(high=math.inf), "its f1 'high' is Infinity, not a number"),
        (f1(low=0.5, high=0.1), "the interval of its f1 ends before it begins: 0.5 to 0.1"),
        (f1(new=80.0), "its f1 'new' is 80.0, not between 0 and 1"),
        (f1(difference=0.3), "the difference of its f1 is 0.3, not 0.8 minus 0.8"),
        (f1(old=10**400), "its f1 'old' is 1000"),
    ],
    ids=range(21),
)
def test_a_comparison_that_cannot_be_read_never_passes_and_says_why(reported: object, problem: str) -> None:
    check = check_better({"f1": {"weighted avg": 0.9}}, IN_USE, 0.01, reported)
    assert check is not None
    assert not check.passed
    assert check.problem.startswith(f"the comparison that the training reported cannot be read: {problem}")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["low", "f1", "x"]), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(set(comparison()) - {"worse", "learned"})), JSON)
def test_no_value_of_a_comparison_makes_it_crash(key: str, value: object) -> None:
    check = check_better({}, IN_USE, 0.01, comparison() | {key: value})
    assert check is not None
    assert check.problem or check.verdict is not None


@pytest.mark.parametrize("percent", [41.7, -0.5])
def test_values_that_no_f1_can_have_are_compared_with_nothing(percent: float) -> None:
    check = check_better({"f1": {"weighted avg": percent}}, IN_USE, 0.01)
    assert check is not None
    assert not check.passed
    assert str(percent) in check.problem
