"""Characters that nobody sees, where they cannot be meant in a YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.redaction import (
    described,
    is_blank,
    is_invisible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKUP = ":-,?[{"
"""What may stand before a space in YAML, and means something with it."""


def strays(text: str) -> Iterator[tuple[int, str]]:
    """What is wrong with a text without quotes: index → message.

    In the middle of a text, a no-break space and what joins or turns letters may be meant.
    """
    for index, character in enumerate(text):
        if not is_invisible(character):
            continue
        before, after = text[index - 1 : index], text[index + 1 : index + 2]
        if is_blank(character):
            if not before or not after or before in _MARKUP or after == "#":
                yield index, f"{described(character)} stands where YAML wants a space: write a space"
        elif not before or not after or (before.isascii() and after.isascii()):
            yield index, f"{described(character)} stands here, which nobody sees: remove it, or put the text in quotes"


def stray_before(lines: list[str], line: int) -> tuple[int, int, str] | None:
    """The last stray character up to a line, of a file that is no YAML: line and column from 0, and the message."""
    for number in range(min(line, len(lines) - 1), -1, -1):
        text = lines[number].strip(" ")
        if text.startswith("#") or text.isascii():
            continue
        start = len(lines[number]) - len(lines[number].lstrip(" "))
        found = next(strays(text), None)
        if found is not None:
            return number, start + found[0], found[1]
    return None
