"""Wrong predictions of a training: the worst of them, and which labels are taken for which."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.results import Labels, WordCounts, is_right

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pytest_ibmodels.verdicts.results import FieldResult, Results, WrongPrediction

LONGEST_TEXT = 300
"""Most characters of a text that is kept."""

_MOST_LABELS = 200
"""Texts of which there are more are no labels."""
_FEWEST_CONFUSED = 2


@dataclass(frozen=True)
class Confusion:
    """A label that was predicted in place of another one.

    Attributes:
        count: number of rows.
        of: number of all rows with the right label.
    """

    expected: str
    predicted: str
    count: int
    of: int


def worst_first(wrong: Iterable[WrongPrediction], results: Results) -> tuple[WrongPrediction, ...]:
    """Sort wrong predictions: the fewest right words first, and of these the most confident first."""
    return tuple(sorted(wrong, key=lambda one: (_overlap(results[one.document][one.field]), -(one.score or 0.0))))


def about_fields_first(wrong: Sequence[WrongPrediction], fields: Collection[str]) -> tuple[WrongPrediction, ...]:
    """Sort wrong predictions: those of the given fields or labels first, else in their order."""
    return tuple(sorted(wrong, key=lambda one: not {one.field, one.expected, one.predicted} & set(fields)))


def with_inputs(wrong: Iterable[WrongPrediction], inputs: Mapping[str, str]) -> tuple[WrongPrediction, ...]:
    """Add the texts that were predicted on, as far as they are known."""
    return tuple(one._replace(input=cut(inputs.get(one.document, ""))) for one in wrong)


def confusions(results: Results) -> tuple[Confusion, ...]:
    """Return which labels were predicted in place of which others, the most frequent first; empty without labels."""
    found = [one for fields in results.values() for one in fields.values() if isinstance(one, Labels)]
    labels = Counter(one.right for one in found)
    if len(labels) > _MOST_LABELS:
        return ()
    pairs = Counter((one.right, one.predicted) for one in found if not is_right(one))
    return tuple(
        Confusion(right, predicted, count, labels[right])
        for (right, predicted), count in pairs.most_common()
        if count >= _FEWEST_CONFUSED
    )


def cut(text: str) -> str:
    """Return a text, at most `LONGEST_TEXT` characters long."""
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _overlap(result: FieldResult) -> float:
    """Return the F1 of a field's words; 0 for a label."""
    if not isinstance(result, WordCounts):
        return 0.0
    return 2 * result.both / ((result.predicted + result.annotated) or 1)
