"""Answers of an environment as they came, and reading them: JSON with bounds, messages, pauses that it asks for."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

MAX_DEPTH = 200
"""Levels of nesting in a JSON answer; the protocol needs about ten."""

MAX_JSON_BYTES = 64 * 2**20
"""Bytes of a JSON answer, after unpacking."""

ERROR_BYTES = 65_536
"""Bytes that are read of an error: more than an excerpt has, so that it ends in no part of a token."""

_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"
_HALF_CHARACTERS = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Answer:
    """What came back from one request; of an error only the begin."""

    status: int
    headers: httpx.Headers
    content: bytes


class TooDeep(ValueError):
    """JSON that is nested deeper than anything can read it safely."""


class TooLarge(Exception):
    """An answer with more bytes than it may have."""


async def read_answer(response: httpx.Response, most: int | None) -> Answer:
    """Read the body of a response.

    Args:
        response: its head has come.
        most: how many bytes it may have; None for no bound.

    Raises:
        TooLarge: it has more. Of an error only the begin is read, whatever follows.
    """
    is_error = response.status_code >= 300
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if is_error and size >= ERROR_BYTES:
            break
        if most is not None and size > most:
            raise TooLarge
    return Answer(response.status_code, response.headers, b"".join(chunks))


def loads(content: bytes) -> object:
    """Read JSON.

    Raises:
        ValueError: it is none; TooDeep: it is nested more than :data:`MAX_DEPTH` levels deep.
    """
    try:
        value: object = json.loads(content)
        if _HALF_CHARACTERS.search(content):
            # Half of a character, as of a text that was cut, can be written to no file and no terminal.
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise TooDeep(_TOO_DEEP) from None
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return value
    raise TooDeep(_TOO_DEEP)


def message_of(answer: Answer) -> str | None:
    """The ``msg`` of an error envelope; None if there is none."""
    try:
        value = loads(answer.content)
    except ValueError:
        return None
    message = value.get("msg") if isinstance(value, dict) else None
    return message if isinstance(message, str) else None


def retry_after(answer: Answer) -> float | None:
    """The seconds of a ``Retry-After`` header, which gives a number or a date; None if there is none."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def asked_pause(answer: Answer) -> str:
    """What to add to a sentence on an answer that asks for a pause; empty if it asks for none."""
    seconds = retry_after(answer)
    return f"; it asks to wait for {seconds:.0f} s (Retry-After)" if seconds else ""
