"""Search for the text of a value among the words of a document."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_ibmodels.documents.pages import SourceDocument, Value, WordIndex

SHORTEST_SIMILAR = 5
"""Fewest letters and digits of a text that may be found by similarity."""

_Run = tuple[int, int]
"""Indices of the first word and of the one after the last."""


@dataclass(frozen=True, slots=True)
class Match:
    """Words that hold a value.

    Attributes:
        words: indices of the words.
        occurrences: number of places that the text was found at.
        text: text of the words, joined by blanks.
    """

    words: tuple[WordIndex, ...]
    occurrences: int
    text: str


class WordSearch:
    """The words of a document, prepared for searching values."""

    def __init__(self, document: SourceDocument) -> None:
        self._places = [place._replace(word=index) for place, line in document.lines for index in range(len(line))]
        self._words = [document.word(place).text for place in self._places]
        self._keys = [letters_of(word) for word in self._words]
        self._context: dict[tuple[int, int], str] = {}
        before = ""
        for place, line in document.lines:
            text = " ".join(word.text for word in line).casefold()
            self._context[place.page, place.line] = f"{before} {text}"
            before = text

    def find(self, value: Value, similarity: float) -> Match | None:
        """Return the words of a value, or None if its text is not there.

        Words are compared as they are; then by letters and digits alone; then with the text between the punctuation
        of a word; then, if ``similarity`` is below 1, by similarity. The first way that finds anything counts.

        Args:
            value: what to search.
            similarity: smallest similarity, 0..1, of texts with more letters than digits.
        """
        ways: list[Callable[[str], list[_Run]]] = [self._equal, self._same_letters, self._inside_word]
        if similarity < 1:
            ways.append(lambda text: self._similar(text, similarity))
        for way in ways:
            runs = [run for run in way(value.text) if value.page in (None, self._places[run[0]].page)]
            if runs:
                return self._chosen(value, runs)
        return None

    def _chosen(self, value: Value, runs: list[_Run]) -> Match | None:
        preferred = [run for run in runs if self._is_beside(run, value.beside)] or runs
        try:
            start, end = preferred[value.occurrence]
        except IndexError:
            return None
        return Match(tuple(self._places[start:end]), len(runs), " ".join(self._words[start:end]))

    def _is_beside(self, run: _Run, name: str | None) -> bool:
        if not name:
            return False
        place = self._places[run[0]]
        context = self._context[place.page, place.line]
        # A subtotal is not beside "total".
        return name.casefold() in context and not re.search(rf"\bsub[\s.:-]*{re.escape(name.casefold())}", context)

    def _equal(self, text: str) -> list[_Run]:
        wanted = text.split()
        if not wanted:
            return []
        size = len(wanted)
        starts = (index for index, word in enumerate(self._words) if word == wanted[0])
        return [(start, start + size) for start in starts if self._words[start : start + size] == wanted]

    def _same_letters(self, text: str) -> list[_Run]:
        wanted = letters_of(text)
        found: list[_Run] = []
        for start, key in enumerate(self._keys):
            if not key or not wanted.startswith(key):
                continue
            joined, end = key, start + 1
            while end < len(self._keys) and len(joined) < len(wanted):
                joined += self._keys[end]
                end += 1
            if joined == wanted:
                found.append((start, end))
        return found

    def _inside_word(self, text: str) -> list[_Run]:
        """Find a text such as `12.00` in the word `Total:12.00`, but not in `112.00`."""
        parts = text.split()
        if len(parts) != 1:
            return []
        pattern = re.compile(rf"(?<![^\W_]){re.escape(parts[0])}(?![^\W_])", re.IGNORECASE)
        return [
            (index, index + 1)
            for index, word in enumerate(self._words)
            if len(word) > len(parts[0]) and (found := pattern.search(word)) and _ends_at_punctuation(word, found)
        ]

    def _similar(self, text: str, similarity: float) -> list[_Run]:
        wanted = letters_of(text)
        letters = sum(sign.isalpha() for sign in wanted)
        # One wrong digit makes another date or amount.
        if len(wanted) < SHORTEST_SIMILAR or 2 * letters <= len(wanted):
            return []
        matcher = SequenceMatcher(None, b=wanted, autojunk=False)
        best = similarity
        found: list[_Run] = []
        for start, end, key in self._windows(len(wanted), similarity):
            matcher.set_seq1(key)
            if matcher.real_quick_ratio() < best or matcher.quick_ratio() < best:
                continue
            ratio = matcher.ratio()
            if ratio > best or (ratio == best and not found):
                best, found = ratio, [(start, end)]
            elif ratio == best and start >= found[-1][1]:
                found.append((start, end))
        return found

    def _windows(self, length: int, similarity: float) -> Iterator[tuple[int, int, str]]:
        """Yield the runs whose number of letters and digits may reach the similarity."""
        shortest, longest = length * similarity / (2 - similarity), length * (2 - similarity) / similarity
        for start, key in enumerate(self._keys):
            joined, end = key, start + 1
            while key and len(joined) <= longest:
                if len(joined) >= shortest and self._keys[end - 1]:
                    yield start, end, joined
                if end == len(self._keys):
                    break
                joined += self._keys[end]
                end += 1


def letters_of(text: str) -> str:
    """Return the letters and digits of a text, with their marks and without case."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if not any(sign.isalnum() for sign in plain):
        return ""
    return "".join(sign for sign in plain if sign.isalnum() or unicodedata.category(sign).startswith("M"))


def _ends_at_punctuation(word: str, found: re.Match[str]) -> bool:
    """Return whether no digit is cut off: `2.00` is no part of `12.00` or `1.2.00`, but of `USD:2.00`."""
    before = word[: found.start()]
    after = word[found.end() :]
    is_number = found[0][:1].isdigit() or found[0][-1:].isdigit()
    return not is_number or not (re.search(r"\d[.,]$", before) or re.match(r"[.,]\d", after))
