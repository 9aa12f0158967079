"""Find invisible characters that are a mistake in a YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.redaction import described, is_blank, is_invisible

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKUP = ":-,?[{"
"""Characters of YAML's syntax that a space may have to follow."""


def strays(text: str) -> Iterator[tuple[int, str]]:
    """Yield index and message of each misplaced invisible character of an unquoted text.

    A no-break space, or a character that joins letters or changes their direction, is accepted inside a text.
    """
    for index, character in enumerate(text):
        if not is_invisible(character):
            continue
        before, after = text[index - 1 : index], text[index + 1 : index + 2]
        if is_blank(character):
            if not before or not after or before in _MARKUP or after == "#":
                yield index, f"{described(character)} is in the place of a space: write a plain space"
        elif not before or not after or (before.isascii() and after.isascii()):
            yield index, f"{described(character)} is invisible here: remove it, or put the text in quotes"


def stray_before(lines: list[str], line: int) -> tuple[int, int, str] | None:
    """Last misplaced invisible character up to `line`: its line and column, from 0, and the message; None if none."""
    for number in range(min(line, len(lines) - 1), -1, -1):
        text = lines[number].strip(" ")
        if text.startswith("#") or text.isascii():
            continue
        start = len(lines[number]) - len(lines[number].lstrip(" "))
        found = next(strays(text), None)
        if found is not None:
            return number, start + found[0], found[1]
    return None
