"""Choice of the most probable contiguous span of each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ibformers.tasks.extraction.priors import LineEdges, SpanPrior

LEAST_PROBABILITY = 0.05
"""Minimum probability of the likeliest word of a field that every document has."""

_SMALLEST = 1e-12
"""Probability from which on smaller ones count as equal, so that logarithms are finite."""


class Span(NamedTuple):
    """A run of neighbouring words.

    Attributes:
        score: log posterior of the span, up to a constant that is equal for all spans of all fields.
        start: index of the first word.
        end: one past the index of the last word.
    """

    score: float
    start: int
    end: int

    def overlaps(self, other: Span) -> bool:
        """Return whether the two have a word in common."""
        return self.start < other.end and other.start < self.end


def choose_spans(
    probabilities: NDArray[np.float64], priors: Mapping[int, SpanPrior], edges: LineEdges
) -> dict[int, Span]:
    """Choose one span for each field, without common words.

    The score of a span is the sum of log p(field) / p(no field) over its words, plus the log prior of its length, plus
    the log likelihood ratio of each of its two ends: the probability that an end of the field is at the edge of a line,
    or is not, to the probability that any word is. Of two fields whose best spans overlap, the one with the higher
    score takes the span, and the other one its best span of the words that are left.

    Args:
        probabilities: shape (words, classes).
        priors: class of each field that gets a span → its prior. All other classes count as "no field".
        edges: edges of the document's lines.

    Returns:
        Class → span. A field has no span without a word that has at least `LEAST_PROBABILITY`.
    """
    likely = np.maximum(probabilities, _SMALLEST)
    others = np.delete(likely, list(priors), axis=1).sum(axis=1)
    free = np.ones(len(probabilities), dtype=np.bool_)

    def best_span(number: int) -> Span | None:
        odds = np.log(likely[:, number] / others)
        return _best_span(odds, free & (probabilities[:, number] >= LEAST_PROBABILITY), free, priors[number], edges)

    chosen: dict[int, Span] = {}
    best = {number: best_span(number) for number in priors}
    while spans := {number: span for number, span in best.items() if span is not None}:
        winner = max(spans, key=lambda number: spans[number].score)
        chosen[winner] = spans[winner]
        free[spans[winner].start : spans[winner].end] = False
        best = {
            number: best_span(number) if span.overlaps(spans[winner]) else span
            for number, span in spans.items()
            if number != winner
        }
    return chosen


def _best_span(
    odds: NDArray[np.float64],
    anchors: NDArray[np.bool_],
    free: NDArray[np.bool_],
    prior: SpanPrior,
    edges: LineEdges,
) -> Span | None:
    """Return the free span with the highest score that has an anchor; None if there is none."""
    if not anchors.any():
        return None
    words, lengths = len(odds), np.arange(1, len(prior.lengths) + 1)
    starts = np.flatnonzero(_sums(anchors, np.arange(words), np.minimum(np.arange(words) + lengths[-1], words)))
    ends = np.minimum(starts[:, None] + lengths, words)
    scores = (
        _sums(odds, starts[:, None], ends)
        + np.log(prior.lengths)
        + _log_ratio(prior.starts_line, prior.line_rate, edges.first)[starts][:, None]
        + _log_ratio(prior.ends_line, prior.line_rate, edges.last)[ends - 1]
    )
    is_allowed = (
        (starts[:, None] + lengths <= words)
        & (_sums(anchors, starts[:, None], ends) > 0)
        & (_sums(~free, starts[:, None], ends) == 0)
    )
    scores[~is_allowed] = -np.inf
    row, column = divmod(int(scores.argmax()), len(lengths))
    return Span(float(scores[row, column]), int(starts[row]), int(ends[row, column]))


def _sums(
    values: NDArray[np.float64] | NDArray[np.bool_], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sum of the values from each start until before each end."""
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    found: NDArray[np.float64] = sums[ends] - sums[starts]
    return found


def _log_ratio(rate: float, usual: float, outcomes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the log of the ratio of each outcome's probability to its usual probability."""
    ratios: NDArray[np.float64] = np.array([np.log((1 - rate) / (1 - usual)), np.log(rate / usual)])[
        outcomes.astype(int)
    ]
    return ratios
