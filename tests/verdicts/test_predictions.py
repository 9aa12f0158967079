from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.verdicts.predictions import Answer, Difference, compare_predictions

fields = st.dictionaries(st.sampled_from(["Name", "Total", "Date"]), st.text(max_size=3))


@given(st.dictionaries(st.sampled_from(["a", "b"]), fields, min_size=1))
def test_equal_predictions_pass(predicted: dict[str, dict[str, str]]) -> None:
    verdict = compare_predictions(predicted, {name: Answer(texts) for name, texts in predicted.items()})
    assert verdict.passed == any(predicted.values())
    assert verdict.texts_compared == sum(bool(text) for texts in predicted.values() for text in texts.values())


@given(fields, fields)
def test_a_field_that_one_side_leaves_out_is_empty_text(before: dict[str, str], after: dict[str, str]) -> None:
    verdict = compare_predictions({"a": before}, {"a": Answer(after)})
    same = all(before.get(name, "") == after.get(name, "") for name in ["Name", "Total", "Date"])
    assert verdict.passed == (same and bool(before or after))


def test_the_difference_says_what_and_where() -> None:
    verdict = compare_predictions({"a": {"Name": "x", "Total": "1"}}, {"a": Answer({"Name": "y", "Total": "1"})})
    assert verdict.differences == (Difference("a", "Name", "x", "y"),)
    assert verdict.fields_compared == 2


def test_a_document_without_answer_or_with_an_error_fails() -> None:
    verdict = compare_predictions({"a": {}, "b": {"Name": "x"}}, {"b": Answer({}, "model crashed")})
    assert verdict.unanswered == {"a": "the Refiner returned no record for this document", "b": "model crashed"}
    assert not verdict.passed


def test_nothing_compared_is_no_pass() -> None:
    assert not compare_predictions({}, {}).passed
    assert not compare_predictions({"a": {}}, {"a": Answer({})}).passed
