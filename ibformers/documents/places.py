"""Lookup of the word that an annotation refers to, by text and location."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ibformers.documents.document import Document

NEAR = 0.001
"""Tolerance of a location, as a fraction of the page's width or height."""


class WordPlace(NamedTuple):
    """Location of a word according to an annotation: left and top of its box, in page pixels."""

    raw: str
    page: int
    left: float
    top: float

    def __str__(self) -> str:
        return f"x={_digits(self.left)}, y={_digits(self.top)}"


class WordPlaces:
    """Index of the words of a document by text (in NFC) and by location."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._by_text: dict[tuple[int, str], list[int]] = {}
        self._exact: dict[WordPlace, int] = {}
        for index, word in enumerate(document.words):
            raw = unicodedata.normalize("NFC", word.raw)
            self._by_text.setdefault((word.page, raw), []).append(index)
            self._exact.setdefault(WordPlace(raw, word.page, word.box[0], word.box[1]), index)

    def find(self, place: WordPlace) -> int | None:
        """Return the index of the word with this text at this location, or of the nearest one within `NEAR`."""
        place = place._replace(raw=unicodedata.normalize("NFC", place.raw))
        if place in self._exact:
            return self._exact[place]
        near = [index for index in self._by_text.get((place.page, place.raw), []) if self._is_near(index, place)]
        return min(near, key=lambda index: self._distance(index, place), default=None)

    def nearest(self, place: WordPlace) -> str:
        """Return a clause for messages: where the text is found instead, or which word is nearest."""
        words = self._document.words
        raw = unicodedata.normalize("NFC", place.raw)
        same = self._closest(self._by_text.get((place.page, raw), []), place)
        if same is not None:
            return f"the nearest {place.raw!r} of the page is at {_place_of(self._document, same)}"
        other = self._closest((index for index, word in enumerate(words) if word.page == place.page), place)
        if other is None:
            return f"the document has {len(self._document.pages)} pages, and no words on this one"
        return f"the nearest word of the page is {words[other].raw!r} at {_place_of(self._document, other)}"

    def _closest(self, indexes: Iterable[int], place: WordPlace) -> int | None:
        return min(indexes, key=lambda index: self._distance(index, place), default=None)

    def _is_near(self, index: int, place: WordPlace) -> bool:
        word = self._document.words[index]
        page = self._document.pages[word.page]
        return abs(word.box[0] - place.left) <= NEAR * page.width and abs(word.box[1] - place.top) <= NEAR * page.height

    def _distance(self, index: int, place: WordPlace) -> float:
        box = self._document.words[index].box
        return math.hypot(box[0] - place.left, box[1] - place.top)


def _place_of(document: Document, index: int) -> WordPlace:
    word = document.words[index]
    return WordPlace(word.raw, word.page, word.box[0], word.box[1])


def _digits(number: float) -> str:
    """Format a number with all its digits, and whole numbers without decimals."""
    return str(int(number)) if number.is_integer() else repr(number)
