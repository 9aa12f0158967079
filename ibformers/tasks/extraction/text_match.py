"""Comparison of field values by their letters and digits."""

from __future__ import annotations

import re
import unicodedata

_GLYPH_CHOICES = re.compile("[\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors and the grapheme joiner: marks that change how a character looks, and not which one it is."""


def same_text(predicted: str, gold: str) -> bool:
    """Tell whether two texts are the same field value.

    They are if their letters and digits, each with the marks that belong to it (accents, vowel signs and vowel points),
    are equal in upper case. Where neither has a letter or a digit, the texts are compared as they are. Where no text is
    annotated, only an empty prediction matches. Unicode's forms of the same character are equal (NFC).
    """
    if not (predicted and gold):
        return predicted == gold
    letters = _letters(predicted), _letters(gold)
    if any(character.isalnum() for text in letters for character in text):
        return letters[0] == letters[1]
    return _composed(predicted) == _composed(gold)


def _composed(text: str) -> str:
    """Return the NFC form, without what only chooses between glyphs of a character."""
    return unicodedata.normalize("NFC", _GLYPH_CHOICES.sub("", text))


def _letters(text: str) -> str:
    """Return letters, digits and their marks in upper case, in NFC."""
    kept = (
        character
        for character in _composed(text).upper()
        if character.isalnum() or unicodedata.category(character) in {"Mn", "Mc"}
    )
    return unicodedata.normalize("NFC", "".join(kept))
