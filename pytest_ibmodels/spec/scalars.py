"""Unquoted YAML words as values: what a reader takes for a number is a number.

YAML 1.1 (PyYAML's dialect) makes text of `5e-5`, base-60 numbers of `20:00` and dates of `2024-01-31`; here the first
is a number and the other two are text. Truth values are YAML 1.1's, as files written for the original tools use them.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Python's own number grammar (PEP 515) decides after these: `1__0` and `010` only look like numbers, and stay text.
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_FIRST_OF_NUMBER = frozenset("+-.0123456789")

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **{form: True for word in ("true", "yes", "on") for form in (word, word.capitalize(), word.upper())},
    **{form: False for word in ("false", "no", "off") for form in (word, word.capitalize(), word.upper())},
}


# Files repeat few values many times.
@lru_cache(maxsize=4096)
def value_of_word(text: str) -> str | int | float | bool | None:
    """Read an unquoted scalar: null, truth value, number, or else the text itself. May be an infinite float or NaN."""
    if text[:1] in _FIRST_OF_NUMBER:
        number = number_of(text)
        return text if number is None else number
    return _WORDS.get(text, text)


def number_of(text: str) -> int | float | None:
    """The number that `text` plainly is, or None."""
    try:
        if _INTEGER.match(text):
            return int(text, 0)
        # A whole number with a leading zero is an identifier more often than a count: it stays text.
        if _FLOAT.match(text) and not text.lstrip("+-").isdecimal():
            return float(text)
    except ValueError:
        return None
    return float(text.replace(".", "", 1)) if _NOT_FINITE.match(text) else None
