"""Results of a training per document and field, read from its predictions; metrics can be computed from them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class WordCounts(NamedTuple):
    """Number of words of one field in one document.

    Attributes:
        predicted: words predicted as the field.
        annotated: words annotated as the field.
        both: words predicted and annotated as the field.
        match: 1 if the predicted text counts as right, else 0.
    """

    predicted: int
    annotated: int
    both: int
    match: int


class Labels(NamedTuple):
    """Right and predicted label of one text."""

    right: str
    predicted: str


FieldResult = WordCounts | Labels
Results = Mapping[str, Mapping[str, FieldResult]]
"""Document → field → result. Fields without a known right value are missing, and so are documents without fields."""


@dataclass(frozen=True)
class TrainingPredictions:
    """Predictions that a training wrote.

    Attributes:
        texts: document → field → text, in the order of the file.
        results: results of those fields whose right value the training wrote, too.
    """

    texts: Mapping[str, Mapping[str, str]]
    results: Results


def field_result(
    text: str,
    gold_text: str | None,
    words: Iterable[Mapping[str, object]],
    gold_words: Iterable[Mapping[str, object]],
    is_match: bool | None,
) -> FieldResult | None:
    """Return the result of one prediction (Instabase protocol, "Predictions"); None if the right value is unknown."""
    if is_match is None and gold_text is None:
        return None
    predicted, annotated = _places(words), _places(gold_words)
    if not predicted and not annotated and (text or gold_text):
        return Labels(gold_text or "", text)
    match = text == gold_text if is_match is None else is_match
    return WordCounts(len(predicted), len(annotated), len(predicted & annotated), int(match))


def is_right(result: FieldResult) -> bool:
    """Return whether a text or a label was predicted right."""
    return bool(result.match) if isinstance(result, WordCounts) else result.right == result.predicted


def as_json(results: Results) -> dict[str, dict[str, list[int | str]]]:
    """Return results as values of JSON; the reverse of :func:`from_json`."""
    return {document: {field: list(one) for field, one in fields.items()} for document, fields in results.items()}


def from_json(given: Mapping[str, Mapping[str, Sequence[int | str]]]) -> Results:
    """Return results from values of JSON.

    Raises:
        ValueError, TypeError, AttributeError: the values do not have the form of :func:`as_json`.
    """
    return {
        str(document): {str(field): _from_list(one) for field, one in fields.items()}
        for document, fields in given.items()
    }


def _from_list(values: Sequence[int | str]) -> FieldResult:
    if len(values) == len(Labels._fields):
        return Labels(*map(str, values))
    if len(values) == len(WordCounts._fields):
        return WordCounts(*map(int, values))
    raise ValueError(f"a result has {len(values)} values, neither 2 nor 4")


def _places(words: Iterable[Mapping[str, object]]) -> set[tuple[object, ...]]:
    """Return what identifies each word: its number in the document, or else its place on the page."""
    return {
        (word["idx"],)
        if word.get("idx") is not None
        else tuple(str(word.get(name)) for name in ("page", "start_x", "start_y", "end_x", "end_y", "raw_word"))
        for word in words
    }
