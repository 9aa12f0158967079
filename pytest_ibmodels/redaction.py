"""Text that is safe to show: without secrets, and without characters that nobody sees.

What an environment's client is given is remembered here, for the whole process: reports, progress and log records come
from any thread, and from code that knows nothing of environments. Everything that leaves passes :func:`redacted`.
"""

from __future__ import annotations

import copy
import html
import json
import logging
import re
import unicodedata
from itertools import pairwise
from typing import Any
from urllib.parse import quote

HIDDEN = "***"
SHORTEST = 4
"""Characters of a secret. A shorter one is not hidden: without it half of every text would be gone."""
_SHORTEST_ANYWHERE = 8
"""Shorter ones may be words, as passwords of development databases are: hidden where they are a word of their own."""
_SHORTEST_PIECE = 4
_CUT = re.compile(r"\.\.\.|…")

_BLANK = {"Zs", "Zl", "Zp"}
_ALSO = "\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Unseen, though Unicode counts them among letters, marks and symbols."""
_SEEN = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Seen, though they are of the category `Cf`."""
_NAMES = {
    "\u200b": "zero-width space",
    "\u200c": "zero-width non-joiner",
    "\u200d": "zero-width joiner",
    "\ufeff": "byte order mark",
}

_forms: list[str] = []
"""All that is remembered, in every form, the longest first."""


def remember(*secrets: str) -> None:
    """Hide these from now on, as they are and as URLs, JSON, HTML and Python write them."""
    found = {form for secret in secrets if len(secret) >= SHORTEST for form in _written(secret)}
    if not found <= set(_forms):
        _forms[:] = sorted(found | set(_forms), key=len, reverse=True)
    _redact_records()


def redacted(value: Any) -> Any:
    """A text without secrets; of lists, tuples and dictionaries, one with none in its texts, of the same type.

    Keys, numbers, and whatever else is no text stay as they are; a value without a secret is returned itself. Where a
    text was cut (``...``), a piece of a secret at the cut is hidden, too.
    """
    if not _forms:
        return value
    if isinstance(value, str):
        return _redacted_text(value)
    if isinstance(value, dict):
        changed = {key: hidden for key, item in value.items() if (hidden := redacted(item)) is not item}
        return _replaced(value, {**value, **changed}) if changed else value
    if isinstance(value, list | tuple):
        items = [redacted(item) for item in value]
        is_same = all(one is other for one, other in zip(items, value, strict=True))
        return value if is_same else _replaced(value, items)
    return value


def _replaced(value: Any, content: Any) -> Any:
    """A value of the same type with other content; a plain one if the type does not allow that."""
    plain: Any = next(kind for kind in (dict, list, tuple) if isinstance(value, kind))
    if type(value) is plain:
        return plain(content)
    try:
        if plain is tuple:
            make = getattr(type(value), "_make", type(value))  # of a named tuple
            return make(content)
        replaced = copy.copy(value)
        if plain is dict:
            replaced.update(content)
        else:
            replaced[:] = content
    except Exception:  # noqa: BLE001 - a type of somebody else: what it holds counts, not the type
        return plain(content)
    return replaced


def _redacted_text(text: str) -> str:
    hidden = text
    for form in _forms:
        if form in hidden:
            hidden = (
                hidden.replace(form, HIDDEN) if len(form) >= _SHORTEST_ANYWHERE else _word(form).sub(HIDDEN, hidden)
            )
    if _CUT.search(hidden) is None:
        return text if hidden == text else hidden
    pieces = _CUT.split(hidden)
    for index, (before, after) in enumerate(pairwise(pieces)):
        pieces[index], pieces[index + 1] = _without_end(before), _without_begin(after)
    cuts = _CUT.findall(hidden)
    whole = "".join(part for pair in zip(pieces, [*cuts, ""], strict=True) for part in pair)
    return text if whole == text else whole


def _word(form: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", form) else ""
    return re.compile(before + re.escape(form) + after)


def _without_end(text: str) -> str:
    for form in _long_forms():
        for size in range(min(len(form) - 1, len(text)), _SHORTEST_PIECE - 1, -1):
            if text.endswith(form[:size]):
                return text[:-size] + HIDDEN
    return text


def _without_begin(text: str) -> str:
    for form in _long_forms():
        for size in range(min(len(form) - 1, len(text)), _SHORTEST_PIECE - 1, -1):
            if text.startswith(form[-size:]):
                return HIDDEN + text[size:]
    return text


def _written(secret: str) -> set[str]:
    as_json, as_python = json.dumps(secret)[1:-1], repr(secret)[1:-1]
    return {secret, quote(secret, safe=""), quote(secret), html.escape(secret), as_json, as_python}


def _long_forms() -> list[str]:
    return [form for form in _forms if len(form) >= _SHORTEST_ANYWHERE]


def _redact_records() -> None:
    """Let log records be made without secrets: so no handler ever sees one, whoever adds it, and whenever.

    Answers may repeat what was sent, and the loggers of the HTTP client tell the headers of answers.
    """
    make = logging.getLogRecordFactory()
    if isinstance(make, _RecordFactory):
        return
    logging.setLogRecordFactory(_RecordFactory(make))


class _RecordFactory:
    """Makes records as another factory does, and hides secrets in them."""

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
    except Exception:  # noqa: BLE001 - the handler will show message and arguments, and say that they do not fit
        record.msg, record.args = redacted(record.msg), _shown_arguments(record.args)
    else:
        hidden = _redacted_text(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
    record.stack_info = redacted(record.stack_info)
    if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
        told = _FORMATTER.formatException(record.exc_info)
        hidden = _redacted_text(told)
        if hidden != told:
            # Formatters take the text; without the exception none can make it anew.
            record.exc_text, record.exc_info = hidden, None


_FORMATTER = logging.Formatter()


def _shown_arguments(arguments: Any) -> Any:
    if isinstance(arguments, tuple):
        return tuple(redacted(one if isinstance(one, int | float | str) else repr(one)) for one in arguments)
    return redacted(arguments)


def is_blank(character: str) -> bool:
    """Whether a character looks like a space and is another one."""
    return character != " " and (unicodedata.category(character) in _BLANK or character in "\u2800\u3164\uffa0")


def is_invisible(character: str) -> bool:
    """Whether nobody sees a character, or takes it for a space; other control characters are not meant."""
    if character.isascii():
        return False
    if is_blank(character) or character in _ALSO:
        return True
    return unicodedata.category(character) == "Cf" and not _SEEN.match(character)


def visible(text: str) -> str:
    r"""The text with escapes in place of what nobody sees: `dogfood\u200b`.

    So is an accent that stands apart from its letter, where there is one character for both: `cafe\u0301`. Files of
    both names may lie side by side.
    """
    if text.isascii():
        return text
    return "".join(
        character.encode("unicode-escape").decode() if _is_hidden(before, character) else character
        for before, character in zip(["", *text], text, strict=False)
    )


def _is_hidden(before: str, character: str) -> bool:
    if is_invisible(character) or "\x80" <= character < "\xa0":
        return True
    return unicodedata.combining(character) > 0 and len(unicodedata.normalize("NFC", before + character)) == 1


def described(character: str) -> str:
    """A character in words, with its code point: `a no-break space, U+00A0,`."""
    name = _NAMES.get(character) or unicodedata.name(character, "invisible character").lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}, U+{ord(character):04X},"
