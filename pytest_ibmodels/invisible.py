"""Characters that nobody sees: no-break spaces, zero-width characters, direction marks. They come with pasted text."""

from __future__ import annotations

import re
import unicodedata

_BLANK = {"Zs", "Zl", "Zp"}
_ALSO = "\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Unseen, though Unicode counts them among letters, marks and symbols."""
_SEEN = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Seen, though they are of the category `Cf`."""
_NAMES = {
    "\u200b": "zero-width space",
    "\u200c": "zero-width non-joiner",
    "\u200d": "zero-width joiner",
    "\ufeff": "byte order mark",
}


def is_blank(character: str) -> bool:
    """Whether a character looks like a space and is another one."""
    return character != " " and (unicodedata.category(character) in _BLANK or character in "\u2800\u3164\uffa0")


def is_invisible(character: str) -> bool:
    """Whether nobody sees a character, or takes it for a space; other control characters are not meant."""
    if character.isascii():
        return False
    if is_blank(character) or character in _ALSO:
        return True
    return unicodedata.category(character) == "Cf" and not _SEEN.match(character)


def visible(text: str) -> str:
    r"""The text with escapes in place of what nobody sees: `dogfood\u200b`.

    So is an accent that stands apart from its letter, where there is one character for both: `cafe\u0301`. Files of
    both names may lie side by side.
    """
    if text.isascii():
        return text
    return "".join(
        character.encode("unicode-escape").decode() if _is_hidden(before, character) else character
        for before, character in zip(["", *text], text, strict=False)
    )


def _is_hidden(before: str, character: str) -> bool:
    if is_invisible(character) or "\x80" <= character < "\xa0":
        return True
    return unicodedata.combining(character) > 0 and len(unicodedata.normalize("NFC", before + character)) == 1


def described(character: str) -> str:
    """A character in words, with its code point: `a no-break space, U+00A0,`."""
    name = _NAMES.get(character) or unicodedata.name(character, "invisible character").lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}, U+{ord(character):04X},"
