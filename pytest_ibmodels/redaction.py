"""Keeps secrets out of what is written, whoever writes it.

What an environment's client is given is remembered here, for the whole process: reports, progress and log records come
from any thread, and from code that knows nothing of environments. Everything that leaves passes :func:`redacted`.
"""

from __future__ import annotations

import html
import json
import logging
import re
from itertools import pairwise
from typing import Any
from urllib.parse import quote

HIDDEN = "***"
_SHORTEST = 4
"""Shorter ones are no secrets: hiding them would hide half of every text."""
_SHORTEST_PIECE = 4
_CUT = re.compile(r"\.\.\.|…")
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")

_forms: list[str] = []
"""All that is remembered, in every form, the longest first."""


def remember(*secrets: str) -> None:
    """Hide these from now on, as they are and as URLs, JSON, HTML and Python write them."""
    found = {form for secret in secrets if len(secret) >= _SHORTEST for form in _written(secret)}
    if not found <= set(_forms):
        _forms[:] = sorted(found | set(_forms), key=len, reverse=True)
    # Answers may repeat what was sent, and these loggers tell the headers of answers; others do as they like, and what
    # they tell arrives at the handlers that pytest has put at the root: its log file, its live log.
    for filterer in (*map(logging.getLogger, _LOGGERS), *logging.getLogger().handlers):
        filterer.addFilter(_hide_in_record)


def redacted(value: Any) -> Any:
    """A text without secrets; of lists, tuples and dictionaries, one with none in its texts, keys left alone.

    Where a text was cut (``...``), a piece of a secret at the cut is hidden, too.
    """
    if not _forms:
        return value
    if isinstance(value, str):
        return _redacted_text(value)
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redacted(item) for item in value)
    return value


def _redacted_text(text: str) -> str:
    for form in _forms:
        text = text.replace(form, HIDDEN)
    if _CUT.search(text) is None:
        return text
    pieces = _CUT.split(text)
    for index, (before, after) in enumerate(pairwise(pieces)):
        pieces[index], pieces[index + 1] = _without_end(before), _without_begin(after)
    cuts = _CUT.findall(text)
    return "".join(part for pair in zip(pieces, [*cuts, ""], strict=True) for part in pair)


def _without_end(text: str) -> str:
    for form in _forms:
        for size in range(min(len(form) - 1, len(text)), _SHORTEST_PIECE - 1, -1):
            if text.endswith(form[:size]):
                return text[:-size] + HIDDEN
    return text


def _without_begin(text: str) -> str:
    for form in _forms:
        for size in range(min(len(form) - 1, len(text)), _SHORTEST_PIECE - 1, -1):
            if text.startswith(form[-size:]):
                return HIDDEN + text[size:]
    return text


def _written(secret: str) -> set[str]:
    as_json, as_python = json.dumps(secret)[1:-1], repr(secret)[1:-1]
    return {secret, quote(secret, safe=""), quote(secret), html.escape(secret), as_json, as_python}


def _hide_in_record(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    hidden = _redacted_text(message)
    if hidden != message:
        record.msg, record.args = hidden, ()
    return True
