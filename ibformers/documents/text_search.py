"""Search for words in a line of text, independent of Unicode normalisation forms."""

from __future__ import annotations

import unicodedata
from functools import cached_property


class LineText:
    """A line of a document's text that can be searched for words.

    Characters match if they are canonically equal: `é` as one character matches `e` with a combining accent. Positions
    are those of the unchanged line.
    """

    def __init__(self, line: str) -> None:
        self.line = line

    def find(self, word: str, position: int) -> tuple[int, int] | None:
        """Return start and end of the first `word` at or after `position`, or None if there is none."""
        start = self.line.find(word, position)
        exact = (start, start + len(word)) if start >= 0 else None
        if self._is_composed and unicodedata.is_normalized("NFC", word):
            # Both are in NFC, where canonically equal texts are equal.
            return exact
        equal = self._find_equal(word, position)
        return min((found for found in (exact, equal) if found is not None), default=None)

    @cached_property
    def _is_composed(self) -> bool:
        return unicodedata.is_normalized("NFC", self.line)

    @cached_property
    def _decomposed(self) -> tuple[str, dict[int, int]]:
        """The line in NFD, and a map from the start of each character with its marks to its index in the line."""
        text, places = "", {0: 0}
        start = 0
        for end in range(1, len(self.line) + 1):
            if end == len(self.line) or _begins_cluster(self.line[end]):
                text += unicodedata.normalize("NFD", self.line[start:end])
                places[len(text)] = end
                start = end
        return text, places

    def _find_equal(self, word: str, position: int) -> tuple[int, int] | None:
        text, places = self._decomposed
        wanted = unicodedata.normalize("NFD", word)
        start = text.find(wanted)
        while start >= 0:
            end = start + len(wanted)
            if start in places and end in places and places[start] >= position:
                return places[start], places[end]
            start = text.find(wanted, start + 1)
        return None


def _begins_cluster(character: str) -> bool:
    """Return whether a character never combines with the characters before it."""
    return unicodedata.combining(unicodedata.normalize("NFD", character)[0]) == 0
