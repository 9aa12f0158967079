"""JSON of clients and jobs."""

import json
from typing import Any

from pydantic_core import from_json


def loads(content: str | bytes) -> Any:
    """Parse JSON text into a value that can be serialized again.

    Raises:
        ValueError: it is not JSON, is nested deeper than 200 levels, or has an unpaired surrogate.
    """
    if isinstance(content, bytes):
        encoding = json.detect_encoding(content)
        content = content if encoding == "utf-8" else content.decode(encoding)
    return from_json(content)
