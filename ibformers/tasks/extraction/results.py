"""Prediction of a document beside its annotation, and its form in predictions.json and in entities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.tasks.extraction.text_match import same_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.documents.document import Document
    from ibformers.tasks.extraction.decoding import WordPredictions


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """Predicted and annotated classes of a document's words.

    Attributes:
        document: the document.
        predicted: shape (words,), predicted class: 0 is no field, 1 is the first field.
        gold: shape (words,), annotated class; all 0 for a document without annotations.
        scores: shape (words,), probability of the predicted class, 0..1.
    """

    document: Document
    predicted: NDArray[np.int64]
    gold: NDArray[np.int64]
    scores: NDArray[np.float64]

    def text(self, chosen: NDArray[np.bool_]) -> str:
        """Return the chosen words in reading order, joined by spaces."""
        return " ".join(self.document.words[index].text for index in np.flatnonzero(chosen))

    def as_json(self, fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the entry of predictions.json, with every field, including those without text."""
        return {field: self._field(number) for number, field in enumerate(fields, start=1)}

    def _field(self, number: int) -> dict[str, Any]:
        predicted, gold = self.predicted == number, self.gold == number
        text, gold_text = self.text(predicted), self.text(gold)
        return {
            "text": text,
            "avg_confidence": float(self.scores[predicted].mean()) if predicted.any() else None,
            "words": [self._word(int(index), float(self.scores[index])) for index in np.flatnonzero(predicted)],
            "gold_text": gold_text,
            "gold_words": [self._word(int(index), 1.0) for index in np.flatnonzero(gold)],
            "is_match": same_text(text, gold_text),
        }

    def _word(self, index: int, confidence: float) -> dict[str, Any]:
        word = self.document.words[index]
        return {
            "raw_word": word.raw,
            "start_x": word.box[0],
            "start_y": word.box[1],
            "end_x": word.box[2],
            "end_y": word.box[3],
            "line_height": word.line_height,
            "word_width": word.word_width,
            "page": word.page,
            "conf": confidence,
            "idx": index,
            "word_line_idx": word.line,
            "word_in_line_idx": word.index_in_line,
        }


def entities(document: Document, predictions: WordPredictions, fields: Sequence[str]) -> list[dict[str, Any]]:
    """Return one entity for every word of a field, in reading order.

    `document.text[start_index:end_index]` is the word; the words of a field joined by spaces are its text in
    predictions.json.
    """
    return [
        {
            "content": document.words[index].text,
            "label": fields[predictions.classes[index] - 1],
            "score": float(predictions.scores[index]),
            "start_index": document.words[index].start,
            "end_index": document.words[index].end,
        }
        for index in map(int, np.flatnonzero(predictions.classes))
    ]
