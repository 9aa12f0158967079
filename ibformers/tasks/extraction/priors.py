"""Prior of the span of a field: how long it is, and whether it starts and ends at the edge of a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ibformers.documents.document import Document

_PSEUDOCOUNT = 1.0
"""Observations added to each outcome (additive smoothing), so that what was never seen is unlikely, not impossible."""


class LineEdges(NamedTuple):
    """Words at the edges of lines; arrays of shape (words,).

    Attributes:
        first: True for the first word of a line.
        last: True for the last word of a line.
    """

    first: NDArray[np.bool_]
    last: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SpanPrior:
    """Prior probabilities of the span of a field.

    Attributes:
        lengths: probability of a length of 1, 2, ... words, up to the longest annotated span.
        starts_line: probability that the first word of the span is the first of its line.
        ends_line: probability that the last word of the span is the last of its line.
        line_rate: lines per word in the training documents, which is the probability that any word starts a line, and
            that it ends one.
    """

    lengths: tuple[float, ...]
    starts_line: float
    ends_line: float
    line_rate: float

    def __str__(self) -> str:
        return (
            f"1 to {len(self.lengths)} words, starts a line with probability {self.starts_line:.2f}, "
            f"ends a line with probability {self.ends_line:.2f} (any word: {self.line_rate:.2f})"
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SpanPrior:
        """Return the prior of values of JSON; the reverse of `dataclasses.asdict`."""
        return cls(tuple(values["lengths"]), values["starts_line"], values["ends_line"], values["line_rate"])


def line_edges(document: Document) -> LineEdges:
    """Return which words of a document are the first and the last of their lines."""
    lines = np.array([word.line for word in document.words], dtype=np.int64)
    breaks = lines[1:] != lines[:-1]
    ends = np.ones(min(len(lines), 1), dtype=np.bool_)
    return LineEdges(first=np.concatenate((ends, breaks)), last=np.concatenate((breaks, ends)))


def learn_span_prior(spans: Sequence[tuple[slice, LineEdges]]) -> SpanPrior:
    """Learn the prior of a field from its annotated spans.

    Args:
        spans: the span in each document, and the edges of lines of that document; at least one.
    """
    lines, words = sum(int(edges.first.sum()) for _, edges in spans), sum(len(edges.first) for _, edges in spans)
    lengths = np.bincount([span.stop - span.start for span, _ in spans])[1:] + _PSEUDOCOUNT
    return SpanPrior(
        lengths=tuple((lengths / lengths.sum()).tolist()),
        starts_line=_smoothed_rate(sum(bool(edges.first[span.start]) for span, edges in spans), len(spans)),
        ends_line=_smoothed_rate(sum(bool(edges.last[span.stop - 1]) for span, edges in spans), len(spans)),
        line_rate=_smoothed_rate(lines, words),
    )


def _smoothed_rate(count: int, total: int) -> float:
    return (count + _PSEUDOCOUNT) / (total + 2 * _PSEUDOCOUNT)
