"""Hide secrets, and escape invisible characters, in texts for people.

Clients register their secrets for the whole process with :func:`remember`, because reports, progress and log records
come from any thread, and from code without access to environments. All output passes through :func:`redacted`.
"""

from __future__ import annotations

import copy
import html
import json
import logging
import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
SHORTEST = 4
"""Minimum length of a secret. Shorter ones are not hidden, because they occur in too many texts."""
_SHORTEST_ANYWHERE = 8
"""Shorter secrets may be ordinary words, as passwords of development databases are: only whole words are hidden."""
_SHORTEST_PIECE = 4
_ELLIPSIS = re.compile(r"\.\.\.|…")

_BLANK = {"Zs", "Zl", "Zp"}
_MORE_INVISIBLE = "\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Invisible, although Unicode counts them among letters, marks and symbols."""
_VISIBLE_FORMAT = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Visible, although their category is `Cf`."""
_NAMES = {
    "\u200b": "zero-width space",
    "\u200c": "zero-width non-joiner",
    "\u200d": "zero-width joiner",
    "\ufeff": "byte order mark",
}

_forms: list[str] = []
"""Every form of every secret, longest first."""


def remember(*secrets: str) -> None:
    """Hide these secrets from now on, also as URLs, JSON, HTML and Python escape them."""
    found = {form for secret in secrets if len(secret) >= SHORTEST for form in _escaped_forms(secret)}
    if not found <= set(_forms):
        _forms[:] = sorted(found | set(_forms), key=len, reverse=True)
    _install_record_factory()


def redacted(value: Any) -> Any:
    """Return a text without secrets, or a list, tuple or dictionary of the same type without secrets in its texts.

    Keys, numbers and other objects do not change, and a value without a secret is returned itself. Parts of a secret
    on both sides of an ellipsis, where a text was shortened, are hidden, too.
    """
    if not _forms:
        return value
    if isinstance(value, str):
        return _redacted_text(value)
    if isinstance(value, dict):
        changed = {key: hidden for key, item in value.items() if (hidden := redacted(item)) is not item}
        return _with_content(value, {**value, **changed}) if changed else value
    if isinstance(value, list | tuple):
        items = [redacted(item) for item in value]
        is_same = all(one is other for one, other in zip(items, value, strict=True))
        return value if is_same else _with_content(value, items)
    return value


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return the text with these secrets hidden wherever they occur, however short they are."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _with_content(value: Any, content: Any) -> Any:
    """Value of the same type with other content, or of the plain type if its type cannot be rebuilt."""
    plain: Any = next(kind for kind in (dict, list, tuple) if isinstance(value, kind))
    if type(value) is plain:
        return plain(content)
    try:
        if plain is tuple:
            make = getattr(type(value), "_make", type(value))  # a named tuple has `_make`
            return make(content)
        rebuilt = copy.copy(value)
        if plain is dict:
            rebuilt.update(content)
        else:
            rebuilt[:] = content
    except Exception:  # noqa: BLE001 - the content matters more than a foreign type
        return plain(content)
    return rebuilt


def _redacted_text(text: str) -> str:
    hidden = text
    for form in _forms:
        if form in hidden:
            hidden = (
                hidden.replace(form, HIDDEN) if len(form) >= _SHORTEST_ANYWHERE else _word(form).sub(HIDDEN, hidden)
            )
    if _ELLIPSIS.search(hidden) is None:
        return text if hidden == text else hidden
    pieces = _ELLIPSIS.split(hidden)
    for index, (before, after) in enumerate(pairwise(pieces)):
        pieces[index], pieces[index + 1] = _without_partial_end(before), _without_partial_start(after)
    ellipses = _ELLIPSIS.findall(hidden)
    whole = "".join(part for pair in zip(pieces, [*ellipses, ""], strict=True) for part in pair)
    return text if whole == text else whole


def _word(form: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", form) else ""
    return re.compile(before + re.escape(form) + after)


def _without_partial_end(text: str) -> str:
    for form in _long_forms():
        for size in range(min(len(form) - 1, len(text)), _SHORTEST_PIECE - 1, -1):
            if text.endswith(form[:size]):
                return text[:-size] + HIDDEN
    return text


def _without_partial_start(text: str) -> str:
    for form in _long_forms():
        for size in range(min(len(form) - 1, len(text)), _SHORTEST_PIECE - 1, -1):
            if text.startswith(form[-size:]):
                return HIDDEN + text[size:]
    return text


def _escaped_forms(secret: str) -> set[str]:
    as_json, as_python = json.dumps(secret)[1:-1], repr(secret)[1:-1]
    return {secret, quote(secret, safe=""), quote(secret), html.escape(secret), as_json, as_python}


def _long_forms() -> list[str]:
    return [form for form in _forms if len(form) >= _SHORTEST_ANYWHERE]


def _install_record_factory() -> None:
    """Create all log records without secrets, so that no handler sees one.

    Answers may repeat what was sent, and the HTTP client logs the headers of answers.
    """
    make = logging.getLogRecordFactory()
    if isinstance(make, _RecordFactory):
        return
    logging.setLogRecordFactory(_RecordFactory(make))


class _RecordFactory:
    """Creates records with another factory, and hides secrets in them."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        if _forms:
            _hide_in_record(record)
        return record


def _hide_in_record(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - the handler will report message and arguments that do not match
        record.msg, record.args = redacted(record.msg), _shown_arguments(record.args)
    else:
        hidden = _redacted_text(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
    record.stack_info = redacted(record.stack_info)
    if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
        traceback = _FORMATTER.formatException(record.exc_info)
        hidden = _redacted_text(traceback)
        if hidden != traceback:
            # Without the exception, no formatter can format it again with its secrets.
            record.exc_text, record.exc_info = hidden, None


_FORMATTER = logging.Formatter()


def _shown_arguments(arguments: Any) -> Any:
    if isinstance(arguments, tuple):
        return tuple(redacted(one if isinstance(one, int | float | str) else repr(one)) for one in arguments)
    return redacted(arguments)


def is_blank(character: str) -> bool:
    """Return whether a character looks like a space but is another character."""
    return character != " " and (unicodedata.category(character) in _BLANK or character in "\u2800\u3164\uffa0")


def is_invisible(character: str) -> bool:
    """Return whether a character is invisible or looks like a space; ASCII characters never count."""
    if character.isascii():
        return False
    if is_blank(character) or character in _MORE_INVISIBLE:
        return True
    return unicodedata.category(character) == "Cf" and not _VISIBLE_FORMAT.match(character)


def visible(text: str) -> str:
    r"""Return the text with escapes for invisible characters: `dogfood\u200b`.

    A combining accent is escaped, too, if one character exists for letter and accent: `cafe\u0301`. A folder may
    contain files of both names.
    """
    if text.isascii():
        return text
    return "".join(
        character.encode("unicode-escape").decode() if _needs_escape(before, character) else character
        for before, character in zip(["", *text], text, strict=False)
    )


def _needs_escape(before: str, character: str) -> bool:
    if is_invisible(character) or "\x80" <= character < "\xa0":
        return True
    return unicodedata.combining(character) > 0 and len(unicodedata.normalize("NFC", before + character)) == 1


def character_name(character: str) -> str:
    """Name of a character, with article and code point: `a no-break space, U+00A0,`."""
    name = _NAMES.get(character) or unicodedata.name(character, "invisible character").lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}, U+{ord(character):04X},"
