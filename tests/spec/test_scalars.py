from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.spec.scalars import number_of, value_of_word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5),
        ("5.e-5", 5e-5),
        ("1e-8", 1e-8),
        ("1E5", 1e5),
        ("+.5", 0.5),
        ("-1.25", -1.25),
        ("5.", 5.0),
        ("0.90", 0.9),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("-3", -3),
        ("0", 0),
        ("true", True),
        ("No", False),
        ("ON", True),
        ("off", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_words_are_what_they_plainly_are(text: str, value: object) -> None:
    read = value_of_word(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "1__0",
        "_1",
        "1.2.3",
        "20:00",
        "2024-01-31",
        "1e",
        "e5",
        ".",
        "-",
        "+",
        "-.",
        "0x",
        "inf",
        "nan",
        "1e5x",
        "tRue",
        "y",
        "٣",
    ],
)
def test_other_words_stay_text(text: str) -> None:
    assert value_of_word(text) == text


def test_infinity_and_nan_are_read_as_such_for_the_reader_to_refuse() -> None:
    assert value_of_word(".inf") == math.inf
    assert value_of_word("-.INF") == -math.inf
    nan = value_of_word(".nan")
    assert isinstance(nan, float)
    assert math.isnan(nan)


def test_a_number_with_more_digits_than_python_converts_stays_text() -> None:
    digits = "9" * 5000
    assert value_of_word(digits) == digits


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_for_a_number_is_read_as_that_number(number: float) -> None:
    read = number_of(repr(number))
    assert read == number
    assert type(read) is type(number)


@given(st.text())
def test_reading_a_word_never_fails_and_text_is_never_changed(text: str) -> None:
    value = value_of_word(text)
    assert not isinstance(value, str) or value == text
