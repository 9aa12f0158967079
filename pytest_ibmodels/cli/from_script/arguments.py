"""Arguments that a training script reads with argparse, each as an expression of a trainer's job."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA = re.compile(
    r"(.*_)?(data|dataset|csv|tsv|corpus|input)(_(path|file|dir|folder|csv))?"
    r"|(train|test|val|valid|validation|eval|dev)_(path|file|dir|folder|csv|data)"
)
_OUTPUT = re.compile(r"(output|out|save|model|checkpoint|ckpt)_(dir|path|file|folder)|output|out")
_PLAIN_TYPES = {"int", "float", "str", "bool"}
_SWITCHES = {"store_true": "False", "store_false": "True"}
_LOST = {"choices", "nargs"}
"""Keywords of `add_argument` that check or collect values, which a config does without."""


@dataclass(frozen=True, slots=True)
class Argument:
    """Argument of a parser.

    Attributes:
        name: its name in the namespace.
        default: source of the default; None without one.
        value: expression that replaces it; the name `job` is the trainer's job.
        comment: remark beside it; may be empty.
        is_data: whether it is a path of data.
        is_output: whether it is a path that the script saves to.
    """

    name: str
    default: str | None
    value: str
    comment: str = ""
    is_data: bool = False
    is_output: bool = False


@dataclass
class Parser:
    """Use of argparse in a script.

    Attributes:
        arguments: arguments in their order.
        statements: statements that only make the parser.
        helpers: functions that make the parser, or parse.
    """

    arguments: list[Argument] = field(default_factory=list)
    statements: list[ast.stmt] = field(default_factory=list)
    helpers: dict[str, ast.FunctionDef] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def is_parse(self, node: ast.AST | None) -> bool:
        """Return whether an expression parses the command line."""
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"parse_args", "parse_known_args"}:
            made = node.func.value
            return self._is_parser(made) or (isinstance(made, ast.Call) and self._is_helper(made))
        return self._is_helper(node) and not _makes_parser_only(self.helpers[ast.unparse(node.func)])

    def _is_parser(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id in self._names

    def _is_helper(self, call: ast.Call) -> bool:
        return isinstance(call.func, ast.Name) and call.func.id in self.helpers

    def read(self, tree: ast.Module) -> None:
        """Find the parsers of a script and their arguments."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and self._makes(node.value) and isinstance(node.targets[0], ast.Name):
                self._names.add(node.targets[0].id)
                self.statements.append(node)
        calls = [node for node in _statements(tree) if isinstance(node, ast.Expr) and self._is_setting(node.value)]
        self.statements += calls
        found = [call for node in calls if (call := node.value) and isinstance(call, ast.Call)]
        self.arguments = _arguments([call for call in found if ast.unparse(call.func).endswith(".add_argument")])
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        self.helpers = {one.name: one for one in functions if self._is_returned(one) or self._only_adds(one)}
        self.statements += [
            node
            for node in _statements(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self._is_helper(node.value)
        ]

    def _is_returned(self, function: ast.FunctionDef) -> bool:
        """Return whether a function makes a parser, and returns it or what it parsed."""
        own = list(_statements(function))
        parsed = {
            target.id
            for node in own
            if isinstance(node, ast.Assign) and self.is_parse(node.value)
            for target in ast.walk(node.targets[0])
            if isinstance(target, ast.Name)
        }
        returned = [node.value for node in own if isinstance(node, ast.Return)]
        return any(node in self.statements for node in own) and any(
            self.is_parse(value) or (isinstance(value, ast.Name) and value.id in parsed | self._names)
            for value in returned
        )

    def _only_adds(self, function: ast.FunctionDef) -> bool:
        """Return whether a function does nothing but to add arguments to a parser that it is given."""
        own = [
            node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ]
        adds = [node in self.statements for node in own]
        return any(adds) and all(one or isinstance(node, ast.Return) for one, node in zip(adds, own, strict=True))

    def _makes(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        name = ast.unparse(node.func)
        return name.rpartition(".")[2] == "ArgumentParser" or (
            isinstance(node.func, ast.Attribute)
            and node.func.attr.startswith("add_")
            and self._is_parser(node.func.value)
        )

    def _is_setting(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and self._is_parser(node.func.value)


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Yield all statements in the order of their lines."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    yield from sorted(found, key=lambda node: node.lineno)


def _makes_parser_only(function: ast.FunctionDef) -> bool:
    return not any(isinstance(node, ast.Attribute) and node.attr.startswith("parse_") for node in ast.walk(function))


def _arguments(calls: list[ast.Call]) -> list[Argument]:
    # Switches such as --gpu and --no-gpu share a name; the first has the default.
    named = {one.name: one for call in reversed(calls) if (one := _argument(call)) is not None}
    read = [*reversed(named.values())]
    data = [one for one in read if one.is_data]
    return [_data_argument(one, data) if one in data else one for one in read]


def _argument(call: ast.Call) -> Argument | None:
    names = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if not names:
        return None
    keywords = {one.arg: one.value for one in call.keywords if one.arg}
    name = _name(names, keywords)
    action = _text(keywords.get("action"))
    default = _default(keywords, action)
    kind = ast.unparse(keywords["type"]) if "type" in keywords else "str"
    is_text = kind not in {"int", "float", "bool"} and not action
    is_output = is_text and _OUTPUT.fullmatch(name) is not None
    # A job has a working directory of its own.
    default = '"model"' if is_output and default is None else default
    is_required = default is None and (names[0][0] != "-" or "required" in keywords)
    value = f'job.config["{name}"]' if is_required else f'job.config.get("{name}", {default or "None"})'
    if kind not in _PLAIN_TYPES and (is_required or default is not None):
        value = f"{kind}({value})" if kind.isidentifier() or "." in kind else f"({kind})({value})"
    lost = sorted(_LOST & set(keywords)) + [action for _ in [action] if action and action not in _SWITCHES]
    return Argument(
        name,
        default,
        value,
        f"TODO: argparse's {', '.join(lost)}" if lost else "",
        is_data=is_text and _may_be_path(keywords.get("default")) and _DATA.fullmatch(name) is not None,
        is_output=is_output,
    )


def _name(names: list[str], keywords: dict[str, ast.expr]) -> str:
    given = _text(keywords.get("dest"))
    long = next((name for name in names if name.startswith("--")), names[0])
    return given or long.lstrip("-").replace("-", "_")


def _default(keywords: dict[str, ast.expr], action: str) -> str | None:
    node = keywords.get("default")
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return _SWITCHES.get(action)
    kind = ast.unparse(keywords["type"]) if "type" in keywords else "str"
    if isinstance(node, ast.Call) and ast.unparse(node.func) == kind and len(node.args) == 1:
        node = node.args[0]  # the type is called anyway
    text = _text(node)
    if text and kind in {"int", "float"}:  # argparse converts a default that is a text
        with contextlib.suppress(ValueError):
            return str(float(text) if kind == "float" else int(text))
    return json.dumps(text, ensure_ascii=False) if text else ast.unparse(node)


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _may_be_path(default: ast.expr | None) -> bool:
    """Return whether a default does not exclude a path: `imdb` is the name of something."""
    text = _text(default)
    return not text or "." in text or "/" in text


def _data_argument(argument: Argument, data: list[Argument]) -> Argument:
    path = "job.data_path" if len(data) == 1 else f"job.data_paths[{data.index(argument)}]"
    value = path if argument.value.startswith(("Path(", "pathlib.Path(")) else f"str({path})"
    comment = "`data` of the model test" + ("" if len(data) == 1 else ", a list in this order")
    return Argument(argument.name, argument.default, value, comment, is_data=True)
