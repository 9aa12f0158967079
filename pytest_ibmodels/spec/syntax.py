"""PyYAML's reasons for giving up on a file, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from yaml.reader import ReaderError

from pytest_ibmodels.spec.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path

_TAB = "a tab stands where YAML wants spaces: indent with spaces only"

# Part of what libyaml or the pure Python parser says -> what is meant. The first match wins.
_REASONS = (
    ("found a tab character", _TAB),
    (
        "mapping values are not allowed",
        "there is a second `:` on this line, or the line is indented too far: put quotes around text that holds `: `",
    ),
    ("could not find expected ':'", "this is no `key: value`: a `:` is missing, or the line is indented wrongly"),
    ("did not find expected key", "the indentation fits none of the lines above"),
    (
        "did not find expected '-' indicator",
        "this line belongs to a list but does not start with `- `, or is indented wrongly",
    ),
    ("expected <block end>", "the indentation fits none of the lines above"),
    ("expected ',' or ']'", "a `[` list is not closed: a `,` or `]` is missing before this"),
    ("expected ',' or '}'", "a `{` mapping is not closed: a `,` or `}` is missing before this"),
    ("did not find expected node content", "a value is missing here, or a bracket is not closed"),
    ("while scanning a quoted scalar", "a quoted text is not closed"),
    ("that cannot start any token", "this character cannot start a value: put the text in quotes"),
    ("found unknown escape character", "unknown `\\` escape in double quotes: write `\\\\`, or use single quotes"),
)


def syntax_problem(path: Path, text: str, error: yaml.YAMLError) -> Problem:
    """Say where `text` stops being YAML, and why."""
    if isinstance(error, ReaderError):
        # `character` is a code point; typeshed has it as text.
        character = chr(int(error.character))
        before = text[: text.find(character)]
        column = len(before) - before.rfind("\n")
        return Problem(
            path, before.count("\n") + 1, column, f"not YAML: the control character {character!r} is not allowed"
        )
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(path, 1, 1, f"not YAML: {error}")
    mark = error.problem_mark
    message = f"not YAML: {_reason(error, text)}"
    opened = error.context_mark
    if opened is not None and opened.line != mark.line:
        message += f" (what began on line {opened.line + 1})"
    return Problem(path, mark.line + 1, mark.column + 1, message)


def _reason(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return _TAB
    said = f"{error.context or ''} {error.problem or ''}"
    return next((plain for part, plain in _REASONS if part in said), said.strip())
