"""Pages of words, and the values that are annotated on them: what every converter makes of its source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in units of the page."""

MARGIN = 20.0
SMALLEST_PAGE = (420.0, 620.0)
"""Margin around the boxes, and smallest size, of a page whose size is unknown."""


class Side(StrEnum):
    """Part of the project that a document belongs to, if its source says so."""

    TRAINING = "training"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Word:
    """One word without white space, and its box."""

    text: str
    box: Box


Line = tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its size and its lines, in reading order."""

    width: float
    height: float
    lines: tuple[Line, ...]


class WordIndex(NamedTuple):
    """Position of a word in a document, each number from 0."""

    page: int
    line: int
    word: int


@dataclass(frozen=True, slots=True)
class Value:
    """Value of a field in a document.

    Attributes:
        field: name of the field.
        text: text of the value; empty says that the document lacks the field.
        where: file and line that the value comes from, for messages.
        words: words that hold the value. None means that the text has to be found among the words.
        page: page to search, from 0. None means all.
        beside: prefer occurrences with this text in their line or in the line before. None means no preference.
        occurrence: index among the occurrences: 0 is the first, -1 the last.
    """

    field: str
    text: str
    where: str
    words: tuple[WordIndex, ...] | None = None
    page: int | None = None
    beside: str | None = None
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One document of a source.

    Attributes:
        name: path below the source without suffix, unique in the source.
        file: file that it was read from.
        pages: pages in order.
        values: annotated values.
        side: side that the source assigns; None means that the split decides.
        is_annotated: True if the source says what the document holds, even if that is no field at all.
    """

    name: str
    file: Path
    pages: tuple[Page, ...]
    values: tuple[Value, ...] = ()
    side: Side | None = None
    remarks: tuple[str, ...] = field(default=())

    @property
    def lines(self) -> Iterator[tuple[WordIndex, Line]]:
        """Lines of all pages, each with the index of its first word."""
        for number, page in enumerate(self.pages):
            for line_number, line in enumerate(page.lines):
                yield WordIndex(number, line_number, 0), line

    def word(self, index: WordIndex) -> Word:
        """Return a word."""
        return self.pages[index.page].lines[index.line][index.word]


def split_words(text: str, box: Box) -> Line:
    """Split a text at its white space, and its box in proportion to the characters."""
    parts = clean(text).split()
    characters = len(" ".join(parts))
    words, start = [], 0
    for part in parts:
        end = start + len(part)
        if len(parts) == 1:
            words.append(Word(part, box))
        else:
            width = (box[2] - box[0]) / characters
            words.append(Word(part, (round(box[0] + start * width), box[1], round(box[0] + end * width), box[3])))
        start = end + 1
    return tuple(words)


def clean(text: str) -> str:
    """Return a text without lone surrogates, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode() if any("\ud800" <= sign <= "\udfff" for sign in text) else text


def bounding_box(points: Iterable[tuple[float, float]]) -> Box:
    """Return the smallest upright box around points, for example the corners of a rotated box."""
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def rows_of(words: Iterable[Word]) -> list[Line]:
    """Group words into rows: a word belongs to the row before if its middle is at that row's height.

    Rows are in order of their tops, and words in order of their left sides.
    """
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda word: (word.box[1] + word.box[3], word.box[0])):
        middle = (word.box[1] + word.box[3]) / 2
        if rows and rows[-1][0].box[1] <= middle <= rows[-1][0].box[3]:
            rows[-1].append(word)
        else:
            rows.append([word])
    return [tuple(sorted(row, key=lambda word: word.box[0])) for row in rows]


def make_page(lines: Sequence[Line], size: tuple[float, float] | None) -> Page:
    """Make a page; without a size it is as large as its boxes, with a margin."""
    kept = tuple(line for line in lines if line)
    if size is None or min(size) <= 0 or not all(map(math.isfinite, size)):
        boxes = [word.box for line in kept for word in line]
        size = (
            max([box[2] + MARGIN for box in boxes] + [SMALLEST_PAGE[0]]),
            max([box[3] + MARGIN for box in boxes] + [SMALLEST_PAGE[1]]),
        )
    return Page(float(size[0]), float(size[1]), kept)
