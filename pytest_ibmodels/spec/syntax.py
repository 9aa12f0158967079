"""Explain PyYAML's syntax errors in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from yaml.reader import ReaderError

from pytest_ibmodels.redaction import described, is_invisible
from pytest_ibmodels.spec.errors import Problem
from pytest_ibmodels.spec.strays import stray_before

if TYPE_CHECKING:
    from pathlib import Path

_TAB = "a tab in the indentation: indent with spaces only"

_WRONG_PLACE = "unexpected text: its indentation is wrong, or it follows a closed quote or bracket"

# Part of an error of libyaml or the pure Python parser -> our message; the first match wins. `{line}` is the line on
# which the unfinished construct starts.
_REASONS = (
    ("found a tab character", _TAB),
    (
        "mapping values are not allowed",
        "a second `:` on one line, or a line that is indented too far: put quotes around text that holds `: `",
    ),
    ("could not find expected ':'", "line {line} is not `key: value`: its `:` is missing, or its indentation is wrong"),
    ("while scanning a quoted scalar", "the quoted text that starts on line {line} is not closed"),
    ("expected ',' or ']'", "the `[` of line {line} is not closed: a `,` or `]` is missing before this"),
    ("expected ',' or '}'", "the `{{` of line {line} is not closed: a `,` or `}}` is missing before this"),
    ("did not find expected node content", "a value is missing here, or the bracket of line {line} is not closed"),
    ("did not find expected '-' indicator", "this line of a list has no `- `, or its indentation is wrong"),
    ("did not find expected key", _WRONG_PLACE),
    ("expected <block end>", _WRONG_PLACE),
    ("that cannot start any token", "this character cannot start a value: put the text in quotes"),
    ("found unknown escape character", "unknown `\\` escape in double quotes: write `\\\\`, or use single quotes"),
    ("while scanning an anchor", "`&` starts the name of an anchor: put the text in quotes if it is not an anchor"),
    ("while scanning an alias", "`*` starts the name of an anchor: put the text in quotes if it is not an anchor"),
)


def syntax_problem(path: Path, text: str, error: yaml.YAMLError) -> Problem:
    """Problem with the place and the reason of a syntax error in `text`."""
    if isinstance(error, ReaderError):
        # A code point, although typeshed declares text.
        character = chr(int(error.character))
        before = text[: text.find(character)]
        column = len(before) - before.rfind("\n")
        what = f"the control character {character!r} is not allowed"
        if is_invisible(character):
            what = f"{described(character)} is here: remove it"
        return Problem(path, before.count("\n") + 1, column, f"not YAML: {what}")
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(path, 1, 1, f"not YAML: {error}")
    mark = error.problem_mark
    stray = stray_before(text.split("\n"), mark.line)
    if stray is not None:
        line, column, message = stray
        return Problem(path, line + 1, column + 1, message)
    return Problem(path, mark.line + 1, mark.column + 1, f"not YAML: {_reason(error, text.splitlines())}")


def _reason(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    mark = error.problem_mark
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return _TAB
    reported = f"{error.context or ''} {error.problem or ''}".strip()
    start = error.context_mark or mark
    explained = next((message for part, message in _REASONS if part in reported), None)
    return reported if explained is None else explained.format(line=start.line + 1 if start is not None else 1)
