"""From the probabilities of words to the words of fields, held to what the training documents show of each field.

A token classifier judges every word on its own. So it marks a company's name in the letterhead and again above the
signature, though people annotate one of them, or leaves a total out because "no field" is a little more probable,
though every document has one. Both are known from the annotations: a field that is annotated in one piece is predicted
in one piece, and one that is always there is always predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OUTSIDE = 0
_FEWEST_DOCUMENTS = 20
"""Fewer say too little about a field."""
_NEARLY_ALL = 0.95
_LEAST_PROBABILITY = 0.05
"""A field that is always there is still left out where no word is at all likely to be it."""


@dataclass(frozen=True, slots=True)
class FieldConstraint:
    """How a field is annotated, as far as the training documents show it.

    Attributes:
        in_one_piece: nearly always as one run of neighbouring words.
        always_there: in nearly all documents.
    """

    in_one_piece: bool = False
    always_there: bool = False


@dataclass(frozen=True, slots=True)
class WordPredictions:
    """What a model says about every word of a document.

    Attributes:
        classes: shape (words,): 0 is no field, 1 the first field.
        scores: shape (words,): probability of that class, 0..1.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float64]


def learn_constraints(fields: int, annotations: Sequence[Sequence[int]]) -> tuple[FieldConstraint, ...]:
    """Look at the annotated documents.

    Args:
        fields: how many there are.
        annotations: for each document the class of each word.

    Returns:
        One habit per field; without enough documents none is assumed.
    """
    if len(annotations) < _FEWEST_DOCUMENTS:
        return (FieldConstraint(),) * fields
    pieces = [
        [len(_pieces(np.asarray(classes) == number)) for classes in annotations] for number in range(1, fields + 1)
    ]
    return tuple(_habit([count for count in counts if count], len(annotations)) for counts in pieces)


def _habit(pieces: list[int], documents: int) -> FieldConstraint:
    if not pieces:
        return FieldConstraint()
    return FieldConstraint(
        in_one_piece=sum(count == 1 for count in pieces) >= _NEARLY_ALL * len(pieces),
        always_there=len(pieces) >= _NEARLY_ALL * documents,
    )


def decode(probabilities: NDArray[np.float64], habits: Sequence[FieldConstraint]) -> WordPredictions:
    """Choose the class of every word.

    Args:
        probabilities: shape (words, 1 + fields); the first column is "no field".
        habits: one per field.

    Returns:
        The most probable class of each word, except where a habit says otherwise: of several pieces of a field that
        comes in one, the one with the greatest sum of probabilities stays; a field that is always there and was not
        predicted takes the most probable word that belongs to no other field, and its neighbours that are about as
        likely.
    """
    classes = probabilities.argmax(axis=1)
    for number, habit in enumerate(habits, start=1):
        pieces = _pieces(classes == number)
        if len(pieces) > 1 and habit.in_one_piece:
            best = max(pieces, key=lambda piece: float(probabilities[piece, number].sum()))
            for piece in pieces:
                if piece != best:
                    classes[piece] = OUTSIDE
        elif not pieces and habit.always_there:
            classes[_likeliest_piece(probabilities[:, number], classes == OUTSIDE)] = number
    return WordPredictions(classes, probabilities[np.arange(len(classes)), classes])


def _likeliest_piece(probability: NDArray[np.float64], free: NDArray[np.bool_]) -> slice:
    candidates = np.where(free, probability, 0.0)
    if not candidates.size or candidates.max() < _LEAST_PROBABILITY:
        return slice(0, 0)
    best = int(candidates.argmax())
    likely = candidates >= candidates[best] / 2
    return next(piece for piece in _pieces(likely) if piece.start <= best < piece.stop)


def _pieces(chosen: NDArray[np.bool_]) -> list[slice]:
    """The runs of neighbouring words that are chosen, in reading order."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    return [slice(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
