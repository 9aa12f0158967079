"""Wrong predictions, the worst first, and labels that are taken for others."""

from __future__ import annotations

import json

from pytest_ibmodels.engine.routes.model_service import parse_predictions
from pytest_ibmodels.verdicts.results import Labels
from pytest_ibmodels.verdicts.wrong import (
    LONGEST_TEXT,
    Confusion,
    about_fields_first,
    confusions,
    with_inputs,
)

WORDS = [{"idx": 1}, {"idx": 2}]


def field(text: str, gold: str | None, score: float | None = None, *, right: bool = False, both: int = 0) -> object:
    words = WORDS[:both] or [{"idx": 7}]
    facts = {"text": text, "avg_confidence": score, "words": words, "gold_words": WORDS, "is_match": right}
    return facts if gold is None else facts | {"gold_text": gold}


def test_the_fewest_right_words_and_the_most_confident_come_first() -> None:
    documents = {
        "right": {"Name": field("Ada", "Ada", 0.9, right=True, both=2)},
        "half": {"Name": field("Ada", "Ada Lovelace", 0.99, both=1)},
        "unsure": {"Name": field("12.50", "Ada", 0.4)},
        "sure": {"Name": field("x" * 400, None, 0.8), "Unknown": {"text": "a"}},
        "undefined": {"Name": field("", "Ada", float("nan"))},
    }
    wrong = parse_predictions(json.dumps(documents).encode()).wrong
    assert [(one.document, one.expected, one.score) for one in wrong] == [
        ("sure", None, 0.8),
        ("unsure", "Ada", 0.4),
        ("undefined", "Ada", None),
        ("half", "Ada Lovelace", 0.99),
    ]
    assert len(wrong[0].predicted) == LONGEST_TEXT


def test_fields_that_failed_come_first_and_inputs_are_added() -> None:
    documents = {name: {name.upper(): field("x", "y")} for name in "abc"}
    wrong = parse_predictions(json.dumps(documents).encode()).wrong
    chosen = with_inputs(about_fields_first(wrong, {"C"}), {"a": "the text"})
    assert [(one.document, one.input) for one in chosen] == [("c", ""), ("a", "the text"), ("b", "")]


def test_labels_that_are_taken_for_others_more_than_once() -> None:
    pairs = [("good", "bad")] * 3 + [("bad", "good")] * 2 + [("good", "good")] * 4 + [("bad", "fair")]
    results = {str(number): {"Label": Labels(*pair)} for number, pair in enumerate(pairs)}
    assert confusions(results) == (Confusion("good", "bad", 3, 7), Confusion("bad", "good", 2, 3))
    assert confusions({str(number): {"Label": Labels(str(number), "x")} for number in range(300)}) == ()
