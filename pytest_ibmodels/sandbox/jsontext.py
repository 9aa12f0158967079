"""JSON that others wrote: the one way in which the sandbox reads it."""

import json
from typing import Any

from pydantic_core import from_json


def loads(content: str | bytes) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: it is no JSON, is nested deeper than 200, or holds half of a character: what is accepted can be
            written again.
    """
    if isinstance(content, bytes):
        encoding = json.detect_encoding(content)
        content = content if encoding == "utf-8" else content.decode(encoding)
    return from_json(content)
