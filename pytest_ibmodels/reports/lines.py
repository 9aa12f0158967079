"""Texts of several lines on a terminal that may not know every letter in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from _pytest._io import TerminalWriter


class FailureText(str):
    """A text that pytest writes line by line.

    pytest escapes what a terminal has no letters for, and with it all line ends of the text that it writes at once: as
    one text, a table would be a single line.
    """

    __slots__ = ()
    markup: ClassVar[dict[str, bool]] = {}

    def toterminal(self, writer: TerminalWriter) -> None:
        for line in self.split("\n"):
            writer.line(line, **self.markup)


class CollectionText(FailureText):
    """The same of a file that cannot be collected, which pytest shows in red."""

    __slots__ = ()
    markup: ClassVar[dict[str, bool]] = {"red": True}
