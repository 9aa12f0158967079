"""A script that is changed statement by statement; everything else stays as it was written."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_ibmodels.cli.from_script.arguments import Parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INDENT = "    "


class ScriptError(Exception):
    """The script cannot be turned into a trainer; the message has its file and line, and what to do."""


@dataclass
class Script:
    """Script and its changes. Numbers of lines count from 1 and are those of the original.

    Attributes:
        name: path of the script, for messages.
        lines: its lines.
        tree: its syntax tree.
        parser: its use of argparse.
        shift: first line that moves into a function; 0 if none does.
    """

    name: str
    lines: list[str]
    tree: ast.Module
    parser: Parser = field(default_factory=Parser)
    shift: int = 0
    _replaced: dict[int, list[str]] = field(default_factory=dict)
    _inserted: dict[int, list[str]] = field(default_factory=dict)

    def indent(self, node: ast.stmt) -> str:
        """Return the indentation of a statement after the changes."""
        line = self.lines[node.lineno - 1]
        own = line[: len(line) - len(line.lstrip())]
        return (INDENT if self.shift and node.lineno >= self.shift else "") + own

    def replace(self, node: ast.stmt, new: Sequence[str] = ()) -> None:
        """Replace all lines of a statement, with its decorators."""
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        self.replace_lines(first, node.end_lineno or node.lineno, new)

    def replace_lines(self, first: int, last: int, new: Sequence[str] = ()) -> None:
        self._replaced.update({number: [] for number in range(first, last + 1)})
        self._replaced[first] = [*new]

    def is_replaced(self, node: ast.stmt) -> bool:
        return node.lineno in self._replaced

    def insert(self, line: int, new: Sequence[str]) -> None:
        """Insert lines before a line."""
        self._inserted.setdefault(line, []).extend(new)

    def result(self) -> list[str]:
        """Return the lines of the changed script."""
        made: list[str] = []
        kept = self._shifted() if self.shift else self.lines
        is_after_change = False
        for number, line in enumerate([*kept, None], 1):
            inserted = self._inserted.get(number, [])
            while inserted and not inserted[0] and made and not made[-1].strip():
                made.pop()
            made += inserted
            if number in self._replaced:
                made += self._replaced[number]
                is_after_change = True
            elif line is not None:
                # Blank lines around a removed statement would add up.
                is_gap = is_after_change and not line.strip() and (not made or not made[-1].strip())
                is_after_change = is_gap
                made += [] if is_gap else [line]
        return made

    def _shifted(self) -> list[str]:
        # The indentation of lines inside a text of several lines belongs to the text.
        tokens = tokenize.generate_tokens(io.StringIO("\n".join(self.lines)).readline)
        texts = [(one.start[0], one.end[0]) for one in tokens if one.type == tokenize.STRING]
        inside = {line for first, last in texts for line in range(first + 1, last + 1)}
        return [
            f"{INDENT}{line}" if number >= self.shift and line.strip() and number not in inside else line
            for number, line in enumerate(self.lines, 1)
        ]

    def parsed_names(self, node: ast.stmt) -> list[str]:
        """Return the names that a statement gives to the parsed command line."""
        if not isinstance(node, ast.Assign) or not self.parser.is_parse(node.value):
            return []
        return [one.id for one in ast.walk(node.targets[0]) if isinstance(one, ast.Name)]


def own_statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body and of its blocks, without those of functions and classes inside."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            for blocks in ("body", "orelse", "finalbody"):
                yield from own_statements(getattr(node, blocks, ()))
            for handler in getattr(node, "handlers", ()):
                yield from own_statements(handler.body)


def stored_names(body: Sequence[ast.stmt]) -> list[str]:
    """Return the names that statements of a body assign, in their order."""
    return [
        one.id
        for node in own_statements(body)
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, ast.stmt)
        for one in ast.walk(child)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    ]
