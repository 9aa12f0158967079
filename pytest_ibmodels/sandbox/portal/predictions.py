"""Answers of models, checked, for a page: scores of labels, and words of a document with their fields."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ibmodels.sandbox.portal.reported import finite

MAX_SCORES = 200
MAX_WORDS = 20_000
MAX_PAGES = 50
OUTSIDE = "O"
_LINES = 6
"""Colours and dashes of lines in the style sheet."""


@dataclass(frozen=True)
class Score:
    """Score of a label; None if the model gives none. ``share`` is the length of its bar, 0 to 1."""

    label: str
    score: float | None
    share: float


@dataclass(frozen=True)
class FieldValue:
    """Value of a field: its words, joined, with the mean of their scores.

    Attributes:
        number: Number of the field in drawing and legend, from 1.
        line: Number of its colour and dashes.
    """

    name: str
    text: str
    score: float
    number: int

    @property
    def line(self) -> int:
        return (self.number - 1) % _LINES + 1


@dataclass(frozen=True)
class Word:
    """A word on its page, in pixels, and the field that it belongs to, if any."""

    text: str
    page: int
    x: float
    y: float
    width: float
    height: float
    field: FieldValue | None
    score: float | None


@dataclass(frozen=True)
class PageOfWords:
    """Words of a page, and its size in pixels."""

    number: int
    width: float
    height: float
    words: tuple[Word, ...]


@dataclass(frozen=True)
class _Entity:
    label: str
    start: int
    end: int
    score: float


def scores_of(answer: Any) -> list[Score]:
    """Scores of a classifier's answer, best first; empty if it has another form."""
    found = answer[0] if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], list) else answer
    if isinstance(answer, Mapping) and isinstance(answer.get("raw_data"), Mapping):
        found = [{"label": _decoded(answer["raw_data"].get("data")), "score": answer.get("score")}]
    if not isinstance(found, list) or not all(isinstance(one, Mapping) and "label" in one for one in found):
        return []
    pairs = [(str(one["label"]), finite(one.get("score"))) for one in found]
    pairs.sort(key=lambda pair: -math.inf if pair[1] is None else pair[1], reverse=True)
    return [Score(label, score, min(max(score or 0.0, 0.0), 1.0)) for label, score in pairs[:MAX_SCORES]]


def fields_of(result: Mapping[str, Any], text: str) -> list[FieldValue]:
    """Fields of an extraction model's result, in the order of the text; empty if it has none."""
    by_name: dict[str, list[_Entity]] = {}
    for entity in _entities(result):
        by_name.setdefault(entity.label, []).append(entity)
    return [
        FieldValue(
            name,
            " ".join(text[entity.start : entity.end] for entity in entities),
            sum(entity.score for entity in entities) / len(entities),
            number,
        )
        for number, (name, entities) in enumerate(by_name.items(), start=1)
    ]


def pages_of(record: Mapping[str, Any], result: Mapping[str, Any], fields: Sequence[FieldValue]) -> list[PageOfWords]:
    """Words of a record with their places, by page; a word without a place is left out."""
    by_name = {field.name: field for field in fields}
    entities = _entities(result)
    words: list[Word] = []
    offset = next_entity = 0
    for line, line_words in zip(str(record["text"]).split("\n"), record["lines"], strict=True):
        position = 0
        for word in line_words:
            start = line.find(word["word"], position)
            position = start + len(word["word"])
            # Entities and words are both in the order of the text.
            while next_entity < len(entities) and entities[next_entity].end <= offset + start:
                next_entity += 1
            entity = entities[next_entity] if next_entity < len(entities) else None
            if entity is not None and entity.start >= offset + position:
                entity = None
            placed = _placed(word, by_name.get(entity.label) if entity else None, entity.score if entity else None)
            if placed is not None and len(words) < MAX_WORDS:
                words.append(placed)
        offset += len(line) + 1
    numbers = sorted({word.page for word in words})[:MAX_PAGES]
    return [_page(record, number, [word for word in words if word.page == number]) for number in numbers]


def record_of_text(text: str) -> dict[str, Any]:
    """Record of a typed text, as OCR would read it."""
    lines = []
    for y, line in enumerate(text.split("\n")):
        words, position = [], 0
        for word in line.split():
            position = line.find(word, position)
            words.append(_typed_word(word, position, y))
            position += len(word)
        lines.append(words)
    width = max((len(line) for line in text.split("\n")), default=1)
    layout = {"width": 10 * max(width, 1), "height": 20 * len(lines)}
    return {"text": text, "lines": lines, "metadata_list": [{"layout": layout}]}


def _typed_word(word: str, position: int, line: int) -> dict[str, Any]:
    x, y, width = 10 * position, 20 * line, 10 * len(word)
    place = {"page": 0, "start_x": x, "end_x": x + width, "start_y": y, "end_y": y + 20}
    return {"word": word, "raw_word": word, "line_height": 20, "word_width": width, "char_width": 10, **place}


def _entities(result: Mapping[str, Any]) -> list[_Entity]:
    """Entities of a result, in the order of the text; malformed ones are left out."""
    found = result.get("ner_result")
    listed = found.get("entities") if isinstance(found, Mapping) else None
    entities = []
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, Mapping) or one.get("label") in {None, OUTSIDE}:
            continue
        start, end, score = (finite(one.get(key)) for key in ("start_index", "end_index", "score"))
        if start is not None and end is not None and 0 <= start <= end:
            entities.append(_Entity(str(one["label"]), int(start), int(end), score or 0.0))
    return sorted(entities, key=lambda entity: (entity.start, entity.end))


def _placed(word: Mapping[str, Any], field: FieldValue | None, score: float | None) -> Word | None:
    left, right, top, bottom = (finite(word.get(key)) for key in ("start_x", "end_x", "start_y", "end_y"))
    page = finite(word.get("page", 0))
    if left is None or right is None or top is None or bottom is None or page is None or right < left or bottom < top:
        return None
    return Word(str(word["word"]), int(page), left, top, right - left, bottom - top, field, score)


def _page(record: Mapping[str, Any], number: int, words: Sequence[Word]) -> PageOfWords:
    width = max(word.x + word.width for word in words)
    height = max(word.y + word.height for word in words)
    listed = record.get("metadata_list")
    if isinstance(listed, list) and 0 <= number < len(listed) and isinstance(listed[number], Mapping):
        layout = listed[number].get("layout")
        if isinstance(layout, Mapping):
            width = max(width, finite(layout.get("width")) or 0.0)
            height = max(height, finite(layout.get("height")) or 0.0)
    return PageOfWords(number + 1, max(width, 1.0), max(height, 1.0), tuple(words))


def _decoded(data: Any) -> str:
    try:
        return base64.b64decode(str(data), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return str(data)
