"""Values of unquoted YAML scalars.

YAML 1.1, which PyYAML implements, reads `5e-5` as text, `20:00` as a base-60 number and `2024-01-31` as a date. Here
`5e-5` is a number, the other two are text. Truth values are those of YAML 1.1, because existing files use them.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Python's number grammar (PEP 515) decides after these: `1__0` and `010` match, but are text.
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_FIRST_OF_NUMBER = frozenset("+-.0123456789")

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **{form: True for word in ("true", "yes", "on") for form in (word, word.capitalize(), word.upper())},
    **{form: False for word in ("false", "no", "off") for form in (word, word.capitalize(), word.upper())},
}


# Cached, because a file repeats few values many times.
@lru_cache(maxsize=4096)
def value_of_word(text: str) -> str | int | float | bool | None:
    """Value of an unquoted scalar: None, a truth value, a number (infinity and NaN included), or the text itself."""
    if text[:1] in _FIRST_OF_NUMBER:
        number = number_of(text)
        return text if number is None else number
    return _WORDS.get(text, text)


def number_of(text: str) -> int | float | None:
    """Number that `text` is written as; None if it is not a number."""
    try:
        if _INTEGER.match(text):
            return int(text, 0)
        # A whole number with a leading zero is text, because it is more often an identifier than a count.
        if _FLOAT.match(text) and not text.lstrip("+-").isdecimal():
            return float(text)
    except ValueError:
        return None
    return float(text.replace(".", "", 1)) if _NOT_FINITE.match(text) else None
