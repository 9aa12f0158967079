"""Metrics per field: precision, recall and F1 over words, exact match over documents."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.tasks.extraction.results import DocumentResult

Metric = float | Literal["NAN"]
Metrics = dict[str, dict[str, Metric]]
"""Metric → field → value. The text "NAN" stands for a ratio that has no denominator."""


class FieldCounts(NamedTuple):
    """Of one field in each document, shape (documents,): words by prediction and annotation, and equal texts.

    Attributes:
        predicted: words predicted as the field.
        gold: words annotated as the field.
        both: words of both kinds.
        matches: 1 where the predicted text is the annotated one, else 0.
    """

    predicted: NDArray[np.int64]
    gold: NDArray[np.int64]
    both: NDArray[np.int64]
    matches: NDArray[np.int64]


_GLYPH_CHOICES = re.compile("[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors and the grapheme joiner: marks that change how a character looks, and not which one it is."""


def evaluate(fields: Sequence[str], results: Sequence[DocumentResult]) -> Metrics:
    """Compute the metrics of every field.

    precision: share of the words predicted as the field that are annotated as it; "NAN" where none is predicted.
    recall: share of the words annotated as the field that are predicted as it; "NAN" where none is annotated.
    f1: 2 * right / (predicted + annotated) over words, the harmonic mean of the two; 0 where no word is right; "NAN"
    where no word is predicted and none is annotated.
    exact_match: share of the documents whose predicted text equals the annotated one (see `same_text`); "NAN" without
    documents.
    """
    metrics: Metrics = {"precision": {}, "recall": {}, "f1": {}, "exact_match": {}}
    for field, counts in count(fields, results).items():
        predicted, gold, both, matches = (int(numbers.sum()) for numbers in counts)
        metrics["precision"][field] = _ratio(both, predicted)
        metrics["recall"][field] = _ratio(both, gold)
        metrics["f1"][field] = _ratio(2 * both, predicted + gold)
        metrics["exact_match"][field] = _ratio(matches, len(results))
    return metrics


def count(fields: Sequence[str], results: Sequence[DocumentResult]) -> dict[str, FieldCounts]:
    """Count for every field what its metrics are made of, in each document."""
    counts = {}
    for number, field in enumerate(fields, start=1):
        rows = []
        for result in results:
            predicted, gold = result.predicted == number, result.gold == number
            match = same_text(result.text(predicted), result.text(gold))
            rows.append((predicted.sum(), gold.sum(), (predicted & gold).sum(), match))
        counts[field] = FieldCounts(*np.array(rows, dtype=np.int64).reshape(-1, 4).T)
    return counts


def same_text(predicted: str, gold: str) -> bool:
    """Tell whether two texts are the same field value.

    They are if their letters and digits, each with the marks that belong to it (accents, vowel signs and vowel points),
    are equal in upper case. Where neither has a letter or a digit, the texts are compared as they are. Where no text is
    annotated, only an empty prediction matches. Unicode's forms of the same character are equal (NFC).
    """
    if not (predicted and gold):
        return predicted == gold
    letters = _letters(predicted), _letters(gold)
    if any(character.isalnum() for text in letters for character in text):
        return letters[0] == letters[1]
    return _composed(predicted) == _composed(gold)


def macro_average(metrics: Metrics, name: str) -> float:
    """Mean over the fields of one metric; a field whose value is undefined counts as 0."""
    values = [0.0 if value == "NAN" else value for value in metrics[name].values()]
    return sum(values) / len(values)


def _composed(text: str) -> str:
    """Return the NFC form, without what only chooses between glyphs of a character."""
    return unicodedata.normalize("NFC", _GLYPH_CHOICES.sub("", text))


def _letters(text: str) -> str:
    """Return letters, digits and their marks in upper case, in NFC."""
    kept = (
        character
        for character in _composed(text).upper()
        if character.isalnum() or unicodedata.category(character) in {"Mn", "Mc"}
    )
    return unicodedata.normalize("NFC", "".join(kept))


def _ratio(part: int, whole: int) -> Metric:
    return part / whole if whole else "NAN"
