from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ibformers.tasks.extraction.decoding import FieldConstraint, decode, learn_constraints

ONE_PIECE = FieldConstraint(in_one_piece=True)
ALWAYS = FieldConstraint(always_there=True)


def probabilities(*field: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """One field with these probabilities; the rest is "no field"."""
    return np.array([[1 - value, value] for value in field])


def test_without_constraints_every_word_takes_its_most_probable_class() -> None:
    predictions = decode(probabilities(0.9, 0.1, 0.6, 0.4), [FieldConstraint()])
    assert predictions.classes.tolist() == [1, 0, 1, 0]
    assert predictions.scores.tolist() == [0.9, 0.9, 0.6, 0.6]


def test_of_a_field_in_one_piece_the_likeliest_piece_stays() -> None:
    predictions = decode(probabilities(0.9, 0.1, 0.6, 0.7, 0.2, 0.8), [ONE_PIECE])
    assert predictions.classes.tolist() == [0, 0, 1, 1, 0, 0]
    assert predictions.scores.tolist() == [1 - 0.9, 0.9, 0.6, 0.7, 0.8, 1 - 0.8]


def test_a_field_that_is_always_there_takes_the_likeliest_words() -> None:
    assert decode(probabilities(0.1, 0.3, 0.4, 0.1, 0.3), [ALWAYS]).classes.tolist() == [0, 1, 1, 0, 0]


def test_a_field_that_is_always_there_takes_no_word_of_another() -> None:
    two = np.array([[0.1, 0.3, 0.6], [0.8, 0.15, 0.05]])
    assert decode(two, [ALWAYS, FieldConstraint()]).classes.tolist() == [2, 1]


def test_a_field_that_no_word_is_likely_to_be_is_left_out() -> None:
    assert decode(probabilities(0.01, 0.04), [ALWAYS]).classes.tolist() == [0, 0]
    assert decode(np.zeros((0, 2)), [ALWAYS]).classes.tolist() == []


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=12))
def test_constraints_hold_for_any_probabilities(rows: list[list[float]]) -> None:
    values = np.array(rows) / np.array(rows).sum(axis=1, keepdims=True)
    constraint = FieldConstraint(in_one_piece=True, always_there=True)
    predictions = decode(values, [constraint, constraint])
    for number in (1, 2):
        chosen = np.flatnonzero(predictions.classes == number)
        assert len(chosen) == 0 or len(chosen) == chosen[-1] - chosen[0] + 1
    assert np.array_equal(predictions.scores, values[np.arange(len(values)), predictions.classes])


def test_constraints_are_learned_from_enough_documents() -> None:
    documents = [[1, 1, 0, 2, 0, 2]] * 20 + [[1, 0, 0, 0, 0, 0]]
    one, two, never = learn_constraints(3, documents)
    assert one == FieldConstraint(in_one_piece=True, always_there=True)
    assert two == FieldConstraint(in_one_piece=False, always_there=True)
    assert never == FieldConstraint()
    assert learn_constraints(1, documents[:19]) == (FieldConstraint(),)


def test_a_field_that_is_often_missing_is_not_always_there() -> None:
    assert learn_constraints(1, [[1], [0]] * 20) == (FieldConstraint(in_one_piece=True, always_there=False),)
