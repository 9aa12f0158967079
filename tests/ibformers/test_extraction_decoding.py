from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibformers.documents.document import AnnotatedDocument
from ibformers.documents.ocr import parse_document
from ibformers.tasks.extraction.decoding import FieldConstraint, WordPredictions, decode, learn_constraints
from ibformers.tasks.extraction.priors import LineEdges, SpanPrior, line_edges
from tests.ibformers.trainable import ocr_document

ONE_PIECE = FieldConstraint(in_one_piece=True)
ALWAYS = FieldConstraint(always_there=True)
ANYWHERE = SpanPrior((0.25, 0.25, 0.25, 0.25), 0.5, 0.5, 0.5)
Probabilities = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def probabilities(*field: float) -> Probabilities:
    """One field with these probabilities; the rest is "no field"."""
    return np.array([[1 - value, value] for value in field])


def decoded(values: Probabilities, *constraints: FieldConstraint, lines: tuple[int, ...] = ()) -> WordPredictions:
    """Decode a document whose lines have these numbers of words; one line by default."""
    document = parse_document(json.dumps(ocr_document(["w " * count for count in lines or (len(values),)])), "d")
    return decode(values, constraints, line_edges(document))


def of_span(prior: SpanPrior) -> FieldConstraint:
    return FieldConstraint(in_one_piece=True, always_there=True, span=prior)


def annotated(*lines: list[int]) -> AnnotatedDocument:
    """A document whose lines have words of these classes."""
    document = parse_document(json.dumps(ocr_document(["w " * len(line) for line in lines])), "d")
    return AnnotatedDocument(document, tuple(number for line in lines for number in line), True, False)


def test_without_constraints_every_word_takes_its_most_probable_class() -> None:
    predictions = decoded(probabilities(0.9, 0.1, 0.6, 0.4), FieldConstraint())
    assert predictions.classes.tolist() == [1, 0, 1, 0]
    assert predictions.scores.tolist() == [0.9, 0.9, 0.6, 0.6]


def test_of_a_field_in_one_piece_the_likeliest_piece_stays() -> None:
    predictions = decoded(probabilities(0.9, 0.1, 0.6, 0.7, 0.2, 0.8), ONE_PIECE)
    assert predictions.classes.tolist() == [0, 0, 1, 1, 0, 0]
    assert predictions.scores.tolist() == [1 - 0.9, 0.9, 0.6, 0.7, 0.8, 1 - 0.8]


def test_a_field_that_is_always_there_takes_the_likeliest_words() -> None:
    assert decoded(probabilities(0.1, 0.3, 0.4, 0.1, 0.3), ALWAYS).classes.tolist() == [0, 1, 1, 0, 0]


def test_a_field_that_is_always_there_takes_no_word_of_another() -> None:
    two = np.array([[0.1, 0.3, 0.6], [0.8, 0.15, 0.05]])
    assert decoded(two, ALWAYS, FieldConstraint()).classes.tolist() == [2, 1]


def test_a_field_that_no_word_is_likely_to_be_is_left_out() -> None:
    assert decoded(probabilities(0.01, 0.04), ALWAYS).classes.tolist() == [0, 0]
    assert decoded(np.zeros((0, 2)), ALWAYS).classes.tolist() == []


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=12))
def test_constraints_hold_for_any_probabilities(rows: list[list[float]]) -> None:
    values = np.array(rows) / np.array(rows).sum(axis=1, keepdims=True)
    constraint = FieldConstraint(in_one_piece=True, always_there=True)
    predictions = decoded(values, constraint, constraint)
    for number in (1, 2):
        chosen = np.flatnonzero(predictions.classes == number)
        assert len(chosen) == 0 or len(chosen) == chosen[-1] - chosen[0] + 1
    assert np.array_equal(predictions.scores, values[np.arange(len(values)), predictions.classes])


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=12), st.data())
def test_the_spans_are_the_best_of_all(rows: list[list[float]], data: st.DataObject) -> None:
    values = np.array(rows) + 1e-6
    values /= values.sum(axis=1, keepdims=True)
    words = len(values)
    first, last = (np.array(data.draw(st.lists(st.booleans(), min_size=words, max_size=words))) for _ in range(2))
    priors = {1: SpanPrior((0.2, 0.7, 0.1), 0.9, 0.6, 0.3), 3: SpanPrior((0.6, 0.4), 0.2, 0.3, 0.25)}
    constraints = [of_span(priors[1]), FieldConstraint(), of_span(priors[3])]
    predictions = decode(values, constraints, LineEdges(first, last))

    free, expected, is_tie = set(range(words)), dict[int, range](), False
    while len(expected) < len(priors):
        found = []
        for number in priors.keys() - expected.keys():
            prior = priors[number]
            for start in range(words):
                for length in range(1, len(prior.lengths) + 1):
                    span = range(start, start + length)
                    if not free.issuperset(span) or max(values[start : start + length, number]) < 0.05:
                        continue
                    score = sum(np.log(values[word, number] / (values[word, 0] + values[word, 2])) for word in span)
                    score += np.log(prior.lengths[length - 1])
                    for rate, is_edge in ((prior.starts_line, first[start]), (prior.ends_line, last[span[-1]])):
                        score += np.log(rate / prior.line_rate if is_edge else (1 - rate) / (1 - prior.line_rate))
                    found.append((score, number, span))
        if not found:
            break
        best, number, span = max(found, key=lambda one: one[0])
        is_tie |= sum(best - score < 1e-9 for score, _, _ in found) > 1
        expected[number] = span
        free -= set(span)
    chosen = {number: np.flatnonzero(predictions.classes == number).tolist() for number in priors}
    if not is_tie:
        assert chosen == {number: list(expected.get(number, ())) for number in priors}
    assert np.array_equal(predictions.scores, values[np.arange(words), predictions.classes])


def test_a_span_bridges_a_word_that_looks_like_no_field() -> None:
    values = probabilities(0.1, 0.9, 0.4, 0.9, 0.1)
    assert decoded(values, FieldConstraint(True, True)).classes.tolist() == [0, 1, 0, 0, 0]
    predictions = decoded(values, of_span(ANYWHERE))
    assert predictions.classes.tolist() == [0, 1, 1, 1, 0]
    assert predictions.scores.tolist() == [0.9, 0.9, 0.4, 0.9, 0.9]


def test_a_span_ends_where_annotated_ones_do() -> None:
    values, lines = probabilities(0.1, 0.3, 0.9, 0.4, 0.1), (1, 3, 1)
    assert decoded(values, of_span(ANYWHERE), lines=lines).classes.tolist() == [0, 0, 1, 0, 0]
    whole_lines = SpanPrior(ANYWHERE.lengths, 0.95, 0.95, 0.5)
    assert decoded(values, of_span(whole_lines), lines=lines).classes.tolist() == [0, 1, 1, 1, 0]
    two_words = SpanPrior((0.05, 0.9, 0.05), 0.5, 0.5, 0.5)
    assert decoded(values, of_span(two_words), lines=lines).classes.tolist() == [0, 0, 1, 1, 0]


def test_edges_of_lines_do_not_move_a_field_that_has_them_as_often_as_any_word() -> None:
    values, lines = probabilities(0.1, 0.6, 0.55, 0.1), (2, 2)
    one_word = SpanPrior((1.0,), 0.2, 0.2, 0.2)
    assert decoded(values, of_span(one_word), lines=lines).classes.tolist() == [0, 1, 0, 0]
    starts_lines = SpanPrior((1.0,), 0.4, 0.2, 0.2)
    assert decoded(values, of_span(starts_lines), lines=lines).classes.tolist() == [0, 0, 1, 0]


def test_a_contested_word_goes_to_the_span_with_the_higher_score() -> None:
    values = np.array([[0.1, 0.6, 0.3], [0.1, 0.2, 0.7], [0.5, 0.1, 0.4], [0.9, 0.1, 0.0]])
    one_word = of_span(SpanPrior((1.0,), 0.5, 0.5, 0.5))
    assert decoded(values, one_word, one_word).classes.tolist() == [1, 2, 0, 0]
    values[0] = [0.1, 0.45, 0.45]
    values[1] = [0.01, 0.49, 0.5]
    # Both want the second word; the first field takes the first one instead.
    assert decoded(values, one_word, one_word).classes.tolist() == [1, 2, 0, 0]


def test_a_field_with_a_span_leaves_the_words_of_other_fields() -> None:
    values = np.array([[0.05, 0.9, 0.05], [0.01, 0.02, 0.97], [0.9, 0.05, 0.05]])
    assert decoded(values, of_span(ANYWHERE), FieldConstraint()).classes.tolist() == [1, 2, 0]


def test_a_span_without_a_likely_word_is_left_out() -> None:
    assert decoded(probabilities(0.01, 0.04), of_span(ANYWHERE)).classes.tolist() == [0, 0]
    assert decoded(np.zeros((0, 2)), of_span(ANYWHERE)).classes.tolist() == []


def test_constraints_are_learned_from_enough_documents() -> None:
    documents = [annotated([1, 1, 0], [2, 0, 2])] * 20 + [annotated([1, 0, 0, 0, 0, 0])]
    one, two, never = learn_constraints(3, documents)
    assert (one.in_one_piece, one.always_there) == (True, True)
    assert two == FieldConstraint(in_one_piece=False, always_there=True)
    assert never == FieldConstraint()
    assert learn_constraints(1, documents[:19]) == (FieldConstraint(),)


def test_a_field_that_is_often_missing_is_not_always_there() -> None:
    documents = [annotated([1]), annotated([0])] * 20
    assert learn_constraints(1, documents) == (FieldConstraint(in_one_piece=True, always_there=False),)


def test_the_prior_of_a_span_is_learned_with_smoothing() -> None:
    documents = [annotated([0, 1, 1], [0])] * 20 + [annotated([1, 1, 1, 1], [0])] * 10
    (constraint,) = learn_constraints(1, documents)
    assert constraint.span is not None
    assert constraint.span.lengths == pytest.approx([1 / 34, 21 / 34, 1 / 34, 11 / 34])
    assert constraint.span.starts_line == 11 / 32
    assert constraint.span.ends_line == 31 / 32
    assert constraint.span.line_rate == 61 / 132


def test_constraints_are_the_same_after_a_way_through_json() -> None:
    for constraint in (of_span(SpanPrior((0.1, 0.9), 1 / 3, 2 / 3, 1 / 7)), ONE_PIECE):
        assert FieldConstraint.from_json(json.loads(json.dumps(asdict(constraint)))) == constraint
    saved_by_earlier_versions = {"in_one_piece": True, "always_there": True}
    assert FieldConstraint.from_json(saved_by_earlier_versions) == FieldConstraint(True, True, None)
