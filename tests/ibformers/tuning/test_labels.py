from __future__ import annotations

from decimal import Decimal

import pytest

from ibformers.errors import RequestRefused
from ibformers.tasks.text_classification.labels import choose_labels, is_consecutive, label_name, own_labels

STARS = list("12345")


@pytest.mark.parametrize(
    ("found", "known", "num_labels", "labels"),
    [
        (["3", "1"], [], None, ["1", "3"]),
        (["10", "9"], [], None, ["9", "10"]),
        (["3", "1"], [], 5, STARS),
        (["0", "4"], [], 5, list("01234")),
        (["spam", "ham"], [], None, ["ham", "spam"]),
        (["spam", "ham"], [], 5, ["ham", "spam"]),
        (["1", "2"], STARS, None, STARS),
        (["ham", "spam"], ["spam", "ham"], None, ["spam", "ham"]),
        (["ham", "news"], ["spam", "ham"], None, ["ham", "news", "spam"]),
        (["1", "2", "3"], ["NEGATIVE", "POSITIVE"], None, ["1", "2", "3"]),
        (["1", "2", "3"], ["NEGATIVE", "POSITIVE"], 3, ["1", "2", "3"]),
        (["a", "b"], ["a", "c"], 2, ["a", "b"]),
        (["LABEL_10", "LABEL_9"], [], None, ["LABEL_9", "LABEL_10"]),
    ],
)
def test_labels_that_a_model_gets(
    found: list[str], known: list[str], num_labels: int | None, labels: list[str]
) -> None:
    assert choose_labels(found, known, num_labels) == labels


def test_labels_that_cannot_be() -> None:
    with pytest.raises(RequestRefused, match="All rows have the same label, 'good'"):
        choose_labels(["good"], [], None)
    with pytest.raises(RequestRefused, match=r"The rows have 3 labels \(a, b, c\), but the setting num_labels is 2"):
        choose_labels(["b", "a", "c"], [], 2)


@pytest.mark.parametrize("average", ["macro avg", "weighted avg"])
def test_a_label_that_is_called_as_an_average_is_refused(average: str) -> None:
    for found, known in (([average, "b"], []), (["a", "b"], ["a", "b", average])):
        with pytest.raises(RequestRefused, match=f"a label '{average}', .*: rename the label"):
            choose_labels(found, known, None)


def test_names_of_labels() -> None:
    assert label_name("a \ud83d\ude00 \ud83d", "L") == "a \N{GRINNING FACE} \ufffd"
    assert [label_name(value, "L") for value in (3, 3.0, Decimal(3), " 3 ", "good", True)] == [
        "3",
        "3",
        "3",
        "3",
        "good",
        "true",
    ]
    for value in (2.5, b"x", float("nan")):
        with pytest.raises(RequestRefused, match="Column L holds .*: a label is a whole number or a text"):
            label_name(value, "L")


def test_stars_have_an_order() -> None:
    assert [is_consecutive(labels) for labels in (STARS, ["0", "1", "2"], ["-1", "0", "1"])] == [True] * 3
    assert not any(
        is_consecutive(labels) for labels in (["1", "2"], ["1", "2", "4"], ["1", "2", "best"], ["a", "b", "c"])
    )


def test_placeholders_are_no_labels() -> None:
    assert own_labels(["LABEL_0", "LABEL_1"]) == []
    assert own_labels(["LABEL_0", "good"]) == ["LABEL_0", "good"]
