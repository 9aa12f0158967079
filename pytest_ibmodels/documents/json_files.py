"""JSON files, with the line of a value that is wrong."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.text_files import read_text

if TYPE_CHECKING:
    from pathlib import Path

Key = str | int

_SPACE = re.compile(r"[ \t\n\r]*")


class JsonFile:
    """A JSON file: its value, and errors that name the line of a part of it."""

    def __init__(self, file: Path, encoding: str) -> None:
        self.file = file
        self._text = read_text(file, encoding)
        try:
            self.value: Any = json.loads(self._text)
        except json.JSONDecodeError as error:
            raise DocumentsError(f"the file is not JSON: {error.msg}", file, error.lineno) from None
        except RecursionError:
            raise DocumentsError("the file is not JSON that can be read: it is nested too deeply", file) from None
        except ValueError as error:  # a number with thousands of digits
            raise DocumentsError(f"the file is not JSON that can be read: {error}", file) from None

    def error(self, path: tuple[Key, ...], message: str) -> DocumentsError:
        """Return an error about the value at a path of keys and indices."""
        return DocumentsError(f"{shown_path(path)}{message}", self.file, self.line(path))

    def where(self, path: tuple[Key, ...]) -> str:
        """Return file and line of the value at a path."""
        return f"{self.file}:{self.line(path)}"

    def line(self, path: tuple[Key, ...]) -> int:
        """Return the line of the value at a path, or of the innermost part of the path that is there."""
        at = _after_space(self._text, 0)
        for key in path:
            inner = _position_of(self._text, at, key)
            if inner is None:
                break
            at = inner
        return self._text.count("\n", 0, at) + 1

    def get(self, path: tuple[Key, ...], kind: type, what: str) -> Any:
        """Return the value at a path.

        Raises:
            DocumentsError: It is not there, or is not of this type.
        """
        value = self.value
        for key in path:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                raise self.error(path, f"is missing; it must be {what}") from None
        if not isinstance(value, kind):
            raise self.error(path, f"must be {what}, not {_shown(value)}")
        return value

    def number(self, path: tuple[Key, ...]) -> float:
        """Return the finite number at a path; a number in quotes counts, too."""
        value = self.get(path, object, "a number")
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self.error(path, f"must be a number, not {_shown(value)}")
        return number


def shown_path(path: tuple[Key, ...]) -> str:
    """Return a path as it is written in Python, with a blank behind it."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")
    return f"{text} " if text else ""


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _position_of(text: str, at: int, key: Key) -> int | None:
    """Return where the value of a key or index of the object or list at a position begins."""
    if text[at] != ("{" if isinstance(key, str) else "["):
        return None
    decoder = json.JSONDecoder()
    found, index = None, 0
    at = _after_space(text, at + 1)
    while text[at] not in "]}":
        name: Key = index
        if isinstance(key, str):
            name, at = decoder.raw_decode(text, at)
            at = _after_space(text, _after_space(text, at) + 1)
        if name == key:
            found = at  # of two equal keys, the later one counts
            if isinstance(key, int):
                return found
        at = _after_space(text, decoder.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _after_space(text, at + 1)
        index += 1
    return found
