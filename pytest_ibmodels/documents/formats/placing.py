"""Values of sources that mark words themselves: the words are placed in lines, and found there again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_ibmodels.documents.pages import Value, Word, WordIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class MarkedWord(NamedTuple):
    """A word, the fields that it belongs to, and where it stands in the source."""

    word: Word
    fields: tuple[str, ...]
    where: str


def marked_values(pages: Sequence[Sequence[Sequence[Word]]], marked: Iterable[MarkedWord]) -> tuple[Value, ...]:
    """Return a value for each field: its words, in the order of the lines of the pages.

    Args:
        pages: words of each line of each page, the same objects as in ``marked``.
        marked: words with their fields.
    """
    marks = {id(one.word): one for one in marked}
    found: dict[str, list[tuple[WordIndex, MarkedWord]]] = {}
    for page, lines in enumerate(pages):
        for line, words in enumerate(lines):
            for index, word in enumerate(words):
                mark = marks[id(word)]
                for field in mark.fields:
                    found.setdefault(field, []).append((WordIndex(page, line, index), mark))
    return tuple(
        Value(field, " ".join(mark.word.text for _, mark in at), at[0][1].where, tuple(index for index, _ in at))
        for field, at in found.items()
    )
