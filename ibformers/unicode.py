"""Texts that hold no valid Unicode, and what is made of them."""

from __future__ import annotations


def clean(text: str) -> str:
    """Return the text in valid Unicode: surrogates that make a pair are joined, lone ones become U+FFFD.

    Databases with UTF-16 texts, such as IRIS, give them out where a text was cut in the middle of a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
