"""Decoding of word probabilities into fields, under constraints learned from the annotations.

A token classifier judges every word on its own. It may mark a company's name twice, in the letterhead and above the
signature, although people annotate it once, or miss a total because "no field" is slightly more probable, although
every document has one. The constraints: a field that is annotated in one piece is predicted in one piece, and a field
that every document has is always predicted.
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
"""Minimum number of annotated documents to learn constraints from."""
_NEARLY_ALL = 0.95
_LEAST_PROBABILITY = 0.05
"""Minimum probability of the word that is chosen for a field that every document has."""


@dataclass(frozen=True, slots=True)
class FieldConstraint:
    """Constraint on the prediction of a field, learned from the training documents.

    Attributes:
        in_one_piece: True if the field is nearly always one run of neighbouring words.
        always_there: True if nearly all documents have the field.
    """

    in_one_piece: bool = False
    always_there: bool = False


@dataclass(frozen=True, slots=True)
class WordPredictions:
    """Predicted class of every word of a document.

    Attributes:
        classes: shape (words,), 0 is no field, 1 is the first field.
        scores: shape (words,), probability of that class, 0..1.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float64]


def learn_constraints(fields: int, annotations: Sequence[Sequence[int]]) -> tuple[FieldConstraint, ...]:
    """Learn the constraint of each field from annotated documents.

    Args:
        fields: number of fields.
        annotations: class of each word, for each document.

    Returns:
        One constraint per field; with too few documents, nothing is constrained.
    """
    if len(annotations) < _FEWEST_DOCUMENTS:
        return (FieldConstraint(),) * fields
    pieces = [
        [len(_pieces(np.asarray(classes) == number)) for classes in annotations] for number in range(1, fields + 1)
    ]
    return tuple(_constraint([count for count in counts if count], len(annotations)) for counts in pieces)


def _constraint(pieces: list[int], documents: int) -> FieldConstraint:
    if not pieces:
        return FieldConstraint()
    return FieldConstraint(
        in_one_piece=sum(count == 1 for count in pieces) >= _NEARLY_ALL * len(pieces),
        always_there=len(pieces) >= _NEARLY_ALL * documents,
    )


def decode(probabilities: NDArray[np.float64], constraints: Sequence[FieldConstraint]) -> WordPredictions:
    """Choose the class of every word.

    Each word gets its most probable class, subject to the constraints. Of several pieces of a field that comes in one
    piece, the one with the greatest sum of probabilities is kept. A field that every document has and that was not
    predicted gets the most probable word of no other field, with its neighbours of about the same probability.

    Args:
        probabilities: shape (words, 1 + fields); the first column is "no field".
        constraints: one per field.
    """
    classes = probabilities.argmax(axis=1)
    for number, constraint in enumerate(constraints, start=1):
        pieces = _pieces(classes == number)
        if len(pieces) > 1 and constraint.in_one_piece:
            best = max(pieces, key=lambda piece: float(probabilities[piece, number].sum()))
            for piece in pieces:
                if piece != best:
                    classes[piece] = OUTSIDE
        elif not pieces and constraint.always_there:
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
    """Return the runs of neighbouring chosen words, in reading order."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    return [slice(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
