"""Keys of rows: hashes that identify a row wherever it is in the table. Pure functions.

A key is 8 bytes of blake2b of the normalised text. Among a million different texts, two have the same key with a
probability of about one in 40 million.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Keys = NDArray[np.uint64]

_BYTES = 8


def normalise(text: str) -> str:
    """Return the text in NFC and case-folded, with one blank for each run of white space and none at the ends."""
    if not text.isascii():
        # The case-folded text may not be in NFC: the letter ΐ becomes three characters.
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
        return " ".join(text.split())
    return " ".join(text.lower().split())


def text_key(text: str) -> int:
    """Return the key of a text, which is equal for texts with the same normalised text."""
    # Databases may hold lone surrogates, which strict UTF-8 cannot encode.
    digest = blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=_BYTES)
    return int.from_bytes(digest.digest(), "little")


def group_key(value: Any) -> int | None:
    """Return the key of a group; None for NULL and blank texts, which are no group.

    The key does not depend on the type of the value: the number 7 and the text "7" are the same group.
    """
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).hex()
    if not isinstance(value, str):
        value = _number(value)
    return text_key(value) if value.strip() else None


def hash_positions(keys: Keys, seed: int) -> Keys:
    """Return a uniform 64-bit hash for each key, which depends only on the key and the seed."""
    secret = seed.to_bytes(_BYTES, "little")
    hashed = b"".join(blake2b(key, digest_size=_BYTES, key=secret).digest() for key in _each(keys))
    return np.frombuffer(hashed, dtype="<u8").astype(np.uint64, copy=False)


def training_mask(keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:
    """Return whether each key is in the training part; the expected fraction of such keys is `share`, 0..1."""
    return hash_positions(keys, seed) / 2.0**64 < share


def fingerprint(keys: Keys) -> str:
    """Return a hash of the keys in any order, 16 hexadecimal digits."""
    content = np.sort(keys).astype("<u8").tobytes()
    return blake2b(len(keys).to_bytes(_BYTES, "little") + content, digest_size=_BYTES).hexdigest()


def is_among(keys: Keys, ordered: Keys) -> NDArray[np.bool_]:
    """Return whether each key is among the sorted keys `ordered`."""
    if not len(ordered):
        return np.zeros(len(keys), dtype=np.bool_)
    found = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.asarray(ordered[found] == keys)


def _each(keys: Keys) -> list[bytes]:
    content = keys.astype("<u8").tobytes()
    return [content[start : start + _BYTES] for start in range(0, len(content), _BYTES)]


def _number(value: Any) -> str:
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return str(whole) if whole == value else str(value)
