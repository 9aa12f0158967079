"""Read the answers of an environment: bodies and JSON within limits, error messages, ``Retry-After``."""

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
"""Maximum nesting of a JSON answer; the protocol needs about ten levels."""

MAX_JSON_BYTES = 64 * 2**20
"""Maximum size of a JSON answer in bytes, after decompression."""

ERROR_BYTES = 65_536
"""Bytes that are read of an error: many more than an excerpt has, so that no excerpt ends inside a token."""

_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"
_SURROGATES = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Answer:
    """Answer to one request. ``content`` of an error may be truncated after :data:`ERROR_BYTES`."""

    status: int
    headers: httpx.Headers
    content: bytes


class TooDeep(ValueError):
    """JSON is nested more than :data:`MAX_DEPTH` levels deep."""


class TooLarge(Exception):
    """An answer exceeds the maximum size."""


async def read_answer(response: httpx.Response, max_bytes: int | None) -> Answer:
    """Read the body of a response.

    Args:
        response: a streamed response whose headers have arrived.
        max_bytes: maximum size; None means no limit.

    Raises:
        TooLarge: the body exceeds ``max_bytes``. Errors are truncated instead.
    """
    is_error = response.status_code >= 300
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if is_error and size >= ERROR_BYTES:
            break
        if max_bytes is not None and size > max_bytes:
            raise TooLarge
    return Answer(response.status_code, response.headers, b"".join(chunks))


def loads(content: bytes) -> object:
    """Parse JSON; lone surrogates are replaced by ``?``.

    Raises:
        TooDeep: the JSON is nested more than :data:`MAX_DEPTH` levels deep.
        ValueError: the content is not JSON.
    """
    try:
        value: object = json.loads(content)
        if _SURROGATES.search(content):
            # A lone surrogate, as in a truncated text, cannot be encoded for a file or a terminal.
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


def error_message(answer: Answer) -> str | None:
    """``msg`` of an error envelope; None without one."""
    try:
        value = loads(answer.content)
    except ValueError:
        return None
    message = value.get("msg") if isinstance(value, dict) else None
    return message if isinstance(message, str) else None


def retry_after(answer: Answer) -> float | None:
    """Seconds of the ``Retry-After`` header, which contains a number or a date; None without a valid one."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def retry_after_note(answer: Answer) -> str:
    """Suffix for a message about the answer, with the seconds of ``Retry-After``; empty without one."""
    seconds = retry_after(answer)
    return f"; it asks to wait for {seconds:.0f} s (Retry-After)" if seconds else ""
