"""Texts of uploaded code, made harmless for the eye: nothing in them reorders or hides other text."""

import re

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""Sequences that colour a terminal."""
_UNSEEN = [*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0)]
_REORDERING = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in (*_UNSEEN, *_REORDERING)}


def visible(text: str) -> str:
    """Text with its control characters, and those that change the direction of writing, written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return _COLOURS.sub("", text).translate(_SHOWN)
