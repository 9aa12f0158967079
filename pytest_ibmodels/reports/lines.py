"""Texts of several lines, for terminals whose encoding may lack some characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from _pytest._io import TerminalWriter


class FailureText(str):
    """A text that pytest writes line by line.

    pytest escapes a text that the terminal's encoding cannot hold, line ends included: written at once, a table would
    become a single line.
    """

    __slots__ = ()
    markup: ClassVar[dict[str, bool]] = {}

    def toterminal(self, writer: TerminalWriter) -> None:
        for line in self.split("\n"):
            writer.line(line, **self.markup)


class CollectionText(FailureText):
    """Text of a file that cannot be collected, which pytest shows in red."""

    __slots__ = ()
    markup: ClassVar[dict[str, bool]] = {"red": True}
