"""The words that all messages about the YAML files share."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.redaction import visible
from pytest_ibmodels.spec.scalars import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 60


def is_a(value: Any) -> str:
    """What a value is, as the rest of the sentence "`key` has to be ..., but"."""
    if value is None:
        return "is empty"
    if isinstance(value, bool):
        return f"is the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"is the number {_cut(str(value))}"
    if isinstance(value, str):
        return f"is the text {quoted(value)}"
    return "is a list" if isinstance(value, list) else "is a mapping"


def quoted(text: str) -> str:
    """Text in double quotes, cut where it is long, with escapes for controls and for what nobody sees."""
    return visible(json.dumps(_cut(text), ensure_ascii=False))


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`: did you mean …?` where one of the known words is close, else nothing."""
    close = closest(word, known, cutoff)
    return f": did you mean `{close}`?" if close else ""


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most like this one, capitals and `-` for `_` aside; None where none is close."""
    by_plain_form = {_plain_form(name): name for name in known}
    matches = get_close_matches(_plain_form(word), by_plain_form, n=1, cutoff=cutoff)
    return by_plain_form[matches[0]] if matches else None


def number_hint(text: str) -> str:
    """What to do about text where a number belongs, with its colon; nothing where there is no telling."""
    text = text.strip()
    if number_of(text) is not None:
        return ": remove the quotes"
    if number_of(text.lstrip("+-0")) is not None:
        return ": remove the leading zero"
    if number_of(text.replace(",", ".")) is not None:
        return f": write {text.replace(',', '.')}"
    percent = number_of(text.removesuffix("%").strip()) if text.endswith("%") else None
    return f": write {percent / 100:g}" if percent is not None else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _plain_form(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")
