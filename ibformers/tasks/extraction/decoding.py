"""Decoding of word probabilities into fields, under constraints learned from the annotations.

A token classifier judges every word on its own. It may mark a company's name twice, in the letterhead and above the
signature, although people annotate it once, or miss a total because "no field" is slightly more probable, although
every document has one. The constraints: a field that is annotated in one piece is predicted in one piece, and a field
that every document has is always predicted. A field with both constraints is predicted as its best span.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.tasks.extraction.priors import SpanPrior, learn_span_prior, line_edges
from ibformers.tasks.extraction.spans import LEAST_PROBABILITY, choose_spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ibformers.documents.document import AnnotatedDocument
    from ibformers.tasks.extraction.priors import LineEdges

OUTSIDE = 0
_FEWEST_DOCUMENTS = 20
"""Minimum number of annotated documents to learn constraints from."""
_NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True)
class FieldConstraint:
    """Constraint on the prediction of a field, learned from the training documents.

    Attributes:
        in_one_piece: True if the field is nearly always one run of neighbouring words.
        always_there: True if nearly all documents have the field.
        span: prior of the field's span if both are true, else None. Models of earlier versions have none.
    """

    in_one_piece: bool = False
    always_there: bool = False
    span: SpanPrior | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FieldConstraint:
        """Return the constraint of values of JSON; the reverse of `dataclasses.asdict`."""
        span = values.get("span")
        return cls(values["in_one_piece"], values["always_there"], None if span is None else SpanPrior.from_json(span))


@dataclass(frozen=True, slots=True)
class WordPredictions:
    """Predicted class of every word of a document.

    Attributes:
        classes: shape (words,), 0 is no field, 1 is the first field.
        scores: shape (words,), probability of that class, 0..1.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float64]


def learn_constraints(fields: int, documents: Sequence[AnnotatedDocument]) -> tuple[FieldConstraint, ...]:
    """Learn the constraint of each field from annotated documents.

    Returns:
        One constraint per field; with too few documents, nothing is constrained.
    """
    if len(documents) < _FEWEST_DOCUMENTS:
        return (FieldConstraint(),) * fields
    edges = [line_edges(item.document) for item in documents]
    constraints = []
    for number in range(1, fields + 1):
        pieces = [_pieces(np.asarray(item.classes) == number) for item in documents]
        spans = [(found[0], lines) for found, lines in zip(pieces, edges, strict=True) if len(found) == 1]
        present = sum(bool(found) for found in pieces)
        in_one_piece = present > 0 and len(spans) >= _NEARLY_ALL * present
        always_there = present >= _NEARLY_ALL * len(documents)
        prior = learn_span_prior(spans) if in_one_piece and always_there else None
        constraints.append(FieldConstraint(in_one_piece, always_there, prior))
    return tuple(constraints)


def decode(
    probabilities: NDArray[np.float64], constraints: Sequence[FieldConstraint], edges: LineEdges
) -> WordPredictions:
    """Choose the class of every word.

    Each field whose constraint has the prior of a span takes its best span (see `choose_spans`). Each other word gets
    its most probable class, subject to the constraints. Of several pieces of a field that comes in one piece, the one
    with the greatest sum of probabilities is kept. A field that every document has and that was not predicted gets the
    most probable word of no other field, with its neighbours of about the same probability.

    Args:
        probabilities: shape (words, 1 + fields); the first column is "no field".
        constraints: one per field.
        edges: edges of the document's lines.
    """
    classes = probabilities.argmax(axis=1)
    priors = {number: one.span for number, one in enumerate(constraints, start=1) if one.span is not None}
    classes[np.isin(classes, list(priors))] = OUTSIDE
    for number, span in choose_spans(probabilities, priors, edges).items():
        classes[span.start : span.end] = number
    for number, constraint in enumerate(constraints, start=1):
        if number in priors:
            continue
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
    if not candidates.size or candidates.max() < LEAST_PROBABILITY:
        return slice(0, 0)
    best = int(candidates.argmax())
    likely = candidates >= candidates[best] / 2
    return next(piece for piece in _pieces(likely) if piece.start <= best < piece.stop)


def _pieces(chosen: NDArray[np.bool_]) -> list[slice]:
    """Return the runs of neighbouring chosen words, in reading order."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    return [slice(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
