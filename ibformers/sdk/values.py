"""Values of trainers as plain JSON and as texts, whatever library made them."""

from __future__ import annotations

import json
import math
import unicodedata
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def plain(value: Any) -> Any:
    """Return a value as plain JSON; scalars and arrays of numpy and torch become numbers and lists.

    Raises:
        ValueError: JSON has no such value; the message continues after "is".
    """
    if not isinstance(value, str | int | float | list | tuple | dict | None):
        value = value.tolist() if callable(getattr(value, "tolist", None)) else value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN" if math.isnan(value) else "infinite")
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    raise ValueError(f"a {type(value).__name__}, which JSON does not have")


def finite(value: Any, name: str) -> float:
    """Return a number as a float. Raises: ValueError; the message begins with the name."""
    try:
        number = plain(value)
    except ValueError as error:
        raise ValueError(f"`{name}` is {error}") from None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"`{name}` is {number!r:.60}, not a number")
    return float(number)


def as_text(value: Any) -> str:
    """Return a prediction as a text; a float has six digits, since the last ones differ from call to call.

    Raises:
        ValueError: The value is no text, number or truth value; the message continues after "is".
    """
    value = plain(value)
    if value is None or isinstance(value, list | dict):
        raise ValueError(f"{value!r:.60}, not a text, a number or a truth value")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def row_key(row: Any, by: str | Callable[[Any], Any] | None = None) -> int:
    """Return the key of a row: 8 bytes of blake2b of its normalised text, as for tables."""
    value = row if by is None else by(row) if callable(by) else row[by]
    text = value if isinstance(value, str) else json.dumps(plain(value), sort_keys=True, ensure_ascii=False)
    if text.isascii():
        text = text.lower()
    else:
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    digest = blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def hash_position(key: int, seed: int) -> float:
    """Return a uniform number from 0 to 1 for a key, which depends only on the key and the seed, as for tables."""
    digest = blake2b(key.to_bytes(8, "little"), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / 2.0**64


def fingerprint(keys: Iterable[int]) -> str:
    """Return a hash of keys in any order, 16 hexadecimal digits, as for tables."""
    ordered = sorted(keys)
    content = b"".join(key.to_bytes(8, "little") for key in ordered)
    return blake2b(len(ordered).to_bytes(8, "little") + content, digest_size=8).hexdigest()
