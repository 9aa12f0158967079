"""Phrases that the messages about the YAML files share."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.redaction import visible
from pytest_ibmodels.spec.scalars import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_LENGTH = 60


def is_a(value: Any) -> str:
    """Description of a value, as the end of the sentence "`key` has to be ..., but"."""
    if value is None:
        return "is empty"
    if isinstance(value, bool):
        return f"is the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"is the number {_shortened(str(value))}"
    if isinstance(value, str):
        return f"is the text {quoted(value)}"
    return "is a list" if isinstance(value, list) else "is a mapping"


def quoted(text: str) -> str:
    """Text in double quotes, shortened, with invisible and control characters escaped."""
    return visible(json.dumps(_shortened(text), ensure_ascii=False))


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`: did you mean …?` with the most similar known word; empty if no word is similar."""
    close = closest(word, known, cutoff)
    return f": did you mean `{close}`?" if close else ""


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Most similar known word, regardless of case and of `-` for `_`; None if no word is similar."""
    by_plain_form = {_plain_form(name): name for name in known}
    matches = get_close_matches(_plain_form(word), by_plain_form, n=1, cutoff=cutoff)
    return by_plain_form[matches[0]] if matches else None


def quotes_hint(value: Any) -> str:
    """Advice for an unquoted word that YAML reads as a truth value or a number; empty for other values."""
    return ": put it in quotes" if isinstance(value, bool | int | float) else ""


def number_hint(text: str) -> str:
    """Advice for text in the place of a number; empty if the number cannot be guessed."""
    text = text.strip()
    if number_of(text) is not None:
        return ": remove the quotes"
    if number_of(text.lstrip("+-0")) is not None:
        return ": remove the leading zero"
    if number_of(text.replace(",", ".")) is not None:
        return f": write {text.replace(',', '.')}"
    percent = number_of(text.removesuffix("%").strip()) if text.endswith("%") else None
    return f": write {percent / 100:g}" if percent is not None else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"


def _plain_form(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")
