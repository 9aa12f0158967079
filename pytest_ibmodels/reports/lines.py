"""Texts of several lines, for terminals whose encoding may lack some characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _pytest._io import TerminalWriter


class RedLine(str):
    """Line of a failure that a terminal with colours shows in red."""

    __slots__ = ()


class FailureText(str):
    """A text that pytest writes line by line.

    pytest escapes a text that the terminal's encoding cannot hold, line ends included: written at once, a table would
    become a single line.

    Attributes:
        red: numbers of the lines, from 0, that a terminal with colours shows in red. The text itself has no colours.
    """

    __slots__ = ("red",)
    red: frozenset[int]
    markup: ClassVar[dict[str, bool]] = {}

    def __new__(cls, text: str, red: Iterable[int] = ()) -> FailureText:
        made = super().__new__(cls, text)
        made.red = frozenset(red)
        return made

    def toterminal(self, writer: TerminalWriter) -> None:
        for number, line in enumerate(self.split("\n")):
            writer.line(line, **({"red": True} if number in self.red else self.markup))


class CollectionText(FailureText):
    """Text of a file that cannot be collected, which pytest shows in red."""

    __slots__ = ()
    markup: ClassVar[dict[str, bool]] = {"red": True}


def failure_lines(lines: Iterable[str]) -> FailureText:
    """Join lines, or texts of several lines, to a text in which each :class:`RedLine` is red."""
    texts: list[str] = []
    red: set[int] = set()
    for line in lines:
        parts = line.split("\n")
        if isinstance(line, RedLine):
            red.update(range(len(texts), len(texts) + len(parts)))
        texts += parts
    return FailureText("\n".join(texts), red)
