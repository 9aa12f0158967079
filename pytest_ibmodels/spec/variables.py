"""`${VARIABLE}` and `${VARIABLE:-default}` in the texts of `environments.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE = re.compile(
    r"(?P<escaped>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{[^}]*\}?)"
)


@dataclass(frozen=True, slots=True)
class Expanded:
    """A text with its variables filled in, and the names of those that have neither a value nor a default."""

    text: str
    missing: tuple[str, ...]


def has_variables(text: str) -> bool:
    """Whether the text stands for something that only the process environment knows, or holds an escaped `$${`."""
    return "${" in text


def broken_reference(text: str) -> str | None:
    """The first `${…` that is neither `${NAME}` nor `${NAME:-default}`."""
    return next((match["broken"] for match in REFERENCE.finditer(text) if match["broken"] is not None), None)


def expand(text: str, environ: Mapping[str, str]) -> Expanded:
    """Fill in variables; `$${` becomes `${`.

    A variable that is set but empty counts as missing, as CI systems set secrets that are not there to "".
    `${NAME:-}` may be empty.
    """
    missing: list[str] = []

    def fill(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return "${"
        name, default = match["name"], match["default"]
        value = environ.get(name) or default
        if value is None:
            missing.append(name)
            return ""
        return value

    return Expanded(REFERENCE.sub(fill, text), tuple(dict.fromkeys(missing)))
