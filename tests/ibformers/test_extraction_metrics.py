from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibformers.documents.ocr import parse_document
from ibformers.tasks.extraction.intervals import metric_intervals
from ibformers.tasks.extraction.metrics import evaluate, macro_average
from ibformers.tasks.extraction.results import DocumentResult
from ibformers.tasks.extraction.text_match import same_text
from tests.ibformers.trainable import ocr_document

FIELDS = ("A", "B")
CLASSES = st.integers(0, len(FIELDS))
PAIRS = st.lists(st.lists(st.tuples(CLASSES, CLASSES), min_size=1, max_size=8), min_size=1, max_size=5)


def _result(pairs: list[tuple[int, int]]) -> DocumentResult:
    """A document of the words w0, w1, ... with these predicted and annotated classes."""
    document = parse_document(json.dumps(ocr_document([" ".join(f"w{n}" for n in range(len(pairs)))])), "d.ibocr")
    predicted, gold = np.array(pairs).T
    return DocumentResult(document, predicted, gold, np.full(len(pairs), 0.5))


@given(PAIRS)
def test_metrics_are_the_counts_over_words_and_documents(pairs: list[list[tuple[int, int]]]) -> None:
    metrics = evaluate(FIELDS, [_result(document) for document in pairs])
    words = [pair for document in pairs for pair in document]
    for number, field in enumerate(FIELDS, start=1):
        predicted = [gold == number for guess, gold in words if guess == number]
        annotated = [guess == number for guess, gold in words if gold == number]
        precision = sum(predicted) / len(predicted) if predicted else "NAN"
        recall = sum(annotated) / len(annotated) if annotated else "NAN"
        assert metrics["precision"][field] == precision
        assert metrics["recall"][field] == recall
        if isinstance(precision, str) and isinstance(recall, str):
            assert metrics["f1"][field] == "NAN"
        elif isinstance(precision, str) or isinstance(recall, str) or precision + recall == 0:
            assert metrics["f1"][field] == 0
        else:
            assert metrics["f1"][field] == pytest.approx(2 * precision * recall / (precision + recall))
        exact = [
            {i for i, pair in enumerate(document) if pair[0] == number}
            == {i for i, pair in enumerate(document) if pair[1] == number}
            for document in pairs
        ]
        assert metrics["exact_match"][field] == sum(exact) / len(exact)
        values = [(any(p == number for p, _ in one), any(g == number for _, g in one)) for one in pairs]
        right = sum(match and has_gold for match, (_, has_gold) in zip(exact, values, strict=True))
        total = sum(map(sum, values))
        assert metrics["value_f1"][field] == (2 * right / total if total else "NAN")


@given(PAIRS)
def test_defined_values_are_floats_so_that_json_says_so(pairs: list[list[tuple[int, int]]]) -> None:
    metrics = evaluate(FIELDS, [_result(document) for document in pairs])
    values = [value for by_field in metrics.values() for value in by_field.values()]
    assert all(value == "NAN" or (isinstance(value, float) and 0 <= value <= 1) for value in values)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize(
    ("pairs", "f1"),
    [([(1, 0), (0, 0)], 0.0), ([(0, 1), (0, 0)], 0.0), ([(1, 0), (0, 1)], 0.0), ([(0, 0), (2, 2)], "NAN")],
    ids=["predicted and never annotated", "annotated and never predicted", "predicted and never rightly", "neither"],
)
def test_f1_is_undefined_only_where_nothing_is_predicted_and_nothing_annotated(
    pairs: list[tuple[int, int]], f1: float | str
) -> None:
    assert evaluate(FIELDS, [_result(pairs)])["f1"]["A"] == f1


@settings(deadline=None, max_examples=25)
@given(PAIRS)
def test_an_interval_holds_its_metric_and_is_there_where_the_metric_is(pairs: list[list[tuple[int, int]]]) -> None:
    results = [_result(document) for document in pairs]
    metrics, intervals = evaluate(FIELDS, results), metric_intervals(FIELDS, results, seed=1)
    assert intervals.keys() == metrics.keys()
    for metric, by_field in metrics.items():
        defined = {field: value for field, value in by_field.items() if not isinstance(value, str)}
        assert intervals[metric].keys() == defined.keys()
        for field, value in defined.items():
            low, high = intervals[metric][field]
            assert 0 <= low <= value <= high <= 1
            assert low < high


def test_intervals_are_those_of_the_counts() -> None:
    results = [_result([(1, 1), (0, 0)])] * 15 + [_result([(0, 1), (1, 0)])] * 5
    intervals = metric_intervals(FIELDS, results, seed=1)
    # Wilson for 15 of 20, as R's prop.test(15, 20, correct = FALSE) has it.
    assert intervals["exact_match"]["A"] == pytest.approx([0.5313, 0.8881], abs=1e-4)
    assert intervals["precision"]["A"] == intervals["recall"]["A"] == intervals["exact_match"]["A"]
    # F1 is the share of the documents that are right here: a binomial of 20, divided by 20.
    assert intervals["f1"]["A"] == pytest.approx([0.55, 0.9], abs=0.051)
    assert intervals["value_f1"]["A"] == pytest.approx([0.55, 0.9], abs=0.051)
    assert intervals["exact_match"]["B"] == pytest.approx([0.8389, 1.0], abs=1e-4)
    assert "B" not in intervals["f1"]
    assert "B" not in intervals["value_f1"]
    assert metric_intervals(FIELDS, results, seed=1) == intervals


def test_a_value_is_right_wherever_it_stands_and_nothing_is_no_value() -> None:
    document = parse_document(json.dumps(ocr_document(["total 9.00 cash 9.00 change 1.00"])), "d.ibocr")

    def result(predicted: int | None, gold: int | None) -> DocumentResult:
        places = [np.array([int(word == index) for word in range(6)]) for index in (predicted, gold)]
        return DocumentResult(document, places[0], places[1], np.full(6, 0.5))

    copy, other, missing, extra, nothing = ((3, 1), (5, 1), (None, 1), (5, None), (None, None))
    metrics = evaluate(("Total",), [result(*one) for one in (copy, copy, copy, other, missing, extra, nothing)])
    assert metrics["f1"]["Total"] == 0
    assert metrics["exact_match"]["Total"] == 4 / 7
    assert metrics["value_f1"]["Total"] == pytest.approx(2 * (3 / 5) * (3 / 5) / (3 / 5 + 3 / 5))
    assert evaluate(("Total",), [result(None, None)])["value_f1"]["Total"] == "NAN"


def test_undefined_values_count_as_nothing_in_the_average() -> None:
    assert macro_average({"f1": {"A": 0.8, "B": "NAN"}}, "f1") == 0.4


@pytest.mark.parametrize(
    ("predicted", "gold", "same"),
    [
        ("RM 9.00", "rm9.00", True),
        ("9.00", "9.01", False),
        ("", "", True),
        ("x", "", False),
        ("", "x", False),
        ("", "-", False),
        ("☑", "☐", False),
        ("☑", "☑", True),
        ("☑\ufe0f", "☐\ufe0f", False),  # in emoji style
        ("☑\ufe0f", "☑", True),
        ("+", "-", False),
        ("+", "+", True),
        ("- -", "--", False),
        ("☑ Yes", "☐ yes", True),
        ("A", "+", False),
        ("कि", "की", False),
        ("কা", "কি", False),
        ("மு", "ம", False),
        ("กิน", "กน", False),
        ("กิน", "กิน.", True),
        ("שָׁלוֹם", "שלום", False),
        ("عَلَم", "عِلْم", False),
        ("Cafe\u0301", "CAFÉ", True),
        ("Cafe\u0301", "Cafe", False),
        ("\u0915\u093c", "\u0958", True),  # two forms of a letter with a nukta
        ("Łódź", "łódź", True),
        ("Łódź", "Łodz", False),
    ],
)
def test_same_text_looks_at_letters_with_their_marks_and_digits_or_else_at_all(
    predicted: str, gold: str, same: bool
) -> None:
    assert same_text(predicted, gold) is same


def test_a_field_is_its_words_and_never_what_lies_between() -> None:
    result = _result([(1, 1), (0, 1), (1, 1), (0, 0)])
    entry = result.as_json(FIELDS)
    assert (entry["A"]["text"], entry["A"]["gold_text"], entry["A"]["is_match"]) == ("w0 w2", "w0 w1 w2", False)
    assert [word["idx"] for word in entry["A"]["words"]] == [0, 2]
    assert entry["A"]["avg_confidence"] == 0.5
    assert entry["B"] == {
        "text": "",
        "avg_confidence": None,
        "words": [],
        "gold_text": "",
        "gold_words": [],
        "is_match": True,
    }
