"""Repair of invalid Unicode."""

from __future__ import annotations


def clean(text: str) -> str:
    """Return a text in valid Unicode: join surrogate pairs, and replace lone surrogates by U+FFFD.

    Databases with UTF-16 texts, such as IRIS, return lone surrogates for a text that was cut within a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
