"""Expand `${VARIABLE}` and `${VARIABLE:-default}` in the texts of `environments.yaml`."""

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
    """Text with its variables filled in, and the names of those that have neither a value nor a default."""

    text: str
    missing: tuple[str, ...]


def has_variables(text: str) -> bool:
    """Return whether the text depends on the process environment, or contains an escaped `$${`."""
    return "${" in text


def broken_reference(text: str) -> str | None:
    """First `${…` that is neither `${NAME}` nor `${NAME:-default}`; None if there is none."""
    return next((match["broken"] for match in REFERENCE.finditer(text) if match["broken"] is not None), None)


def expand(text: str, environ: Mapping[str, str]) -> Expanded:
    """Fill in the variables of a text; `$${` becomes `${`.

    An empty variable counts as missing, because CI systems set missing secrets to "". `${NAME:-}` may be empty.
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
