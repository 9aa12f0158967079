"""Comparison of field values by their letters and digits."""

from __future__ import annotations

import re
import unicodedata

_GLYPH_CHOICES = re.compile("[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors and the grapheme joiner: they change the look of a character, not its identity."""


def same_text(predicted: str, gold: str) -> bool:
    """Return whether two texts are the same field value.

    They are if their letters and digits, with accents, vowel signs and vowel points, are equal in upper case and NFC.
    Texts without letters and digits are compared unchanged. An empty annotation matches an empty prediction only.
    """
    if not (predicted and gold):
        return predicted == gold
    letters = _letters(predicted), _letters(gold)
    if any(character.isalnum() for text in letters for character in text):
        return letters[0] == letters[1]
    return _composed(predicted) == _composed(gold)


def _composed(text: str) -> str:
    """Return the NFC form without variation selectors and grapheme joiners."""
    return unicodedata.normalize("NFC", _GLYPH_CHOICES.sub("", text))


def _letters(text: str) -> str:
    """Return letters, digits and their marks, in upper case and NFC."""
    kept = (
        character
        for character in _composed(text).upper()
        if character.isalnum() or unicodedata.category(character) in {"Mn", "Mc"}
    )
    return unicodedata.normalize("NFC", "".join(kept))
