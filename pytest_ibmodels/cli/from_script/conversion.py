"""The patch: which function becomes the trainer, and where its arguments come from."""

from __future__ import annotations

import ast
import difflib
import json
import re
from typing import TYPE_CHECKING, TypeGuard

from pytest_ibmodels.cli.from_script.marks import mark_files, mark_globals, mark_helpers, mark_loader
from pytest_ibmodels.cli.from_script.result import return_result
from pytest_ibmodels.cli.from_script.script import INDENT, Script, ScriptError, own_statements, stored_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePath

_SDK = "from ibformers.sdk import Job, Result, trainer"


def trainer_patch(source: str, path: PurePath) -> str:
    """Return a unified diff that turns a script into a trainer, with what to do next above it.

    Args:
        source: text of the script.
        path: its path, as the diff names it.

    Raises:
        ScriptError: the text is not Python, or has no code that trains.
    """
    name = path.as_posix()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ScriptError(f"{name}{line}: this is not Python: {getattr(error, 'msg', error)}") from None
    if "ibformers.sdk" in source:
        raise ScriptError(f"{name}: this script imports ibformers.sdk already, so nothing is left to do")
    # Python's own ends of lines; those of splitlines() may be inside a text.
    lines = re.split(r"\r\n|\r|\n", source.removesuffix("\n").removesuffix("\r"))
    script = Script(name, lines, tree)
    script.parser.read(tree)
    function = _convert(script)
    made = script.result()
    try:
        ast.parse("\n".join(made))
    except SyntaxError as error:
        raise ScriptError(f"{name}: the layout of this script is not understood, near {error.text!r}") from None
    ending = "\r\n" if "\r\n" in source else "\n"
    old, new = ([f"{line}{ending}" for line in one] for one in (script.lines, made))
    if not source.endswith("\n"):
        old[-1] = script.lines[-1]
    diff = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
    whole = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in diff)
    return "".join([*(f"{line}\n" for line in _advice(script, path, function)), *whole])


def _convert(script: Script) -> str:
    """Change the script, and return the name of its trainer."""
    block = next((node for node in script.tree.body if _is_main_block(node)), None)
    main = _called_function(script, block)
    first = block or _first_to_move(script)
    if main is not None:
        trainer, moved = _convert_function(script, *main)
    elif first is not None:
        trainer, moved = _wrap(script, first)
    else:
        raise ScriptError(f"{script.name}: this script runs nothing and calls no function: name the one that trains")
    for node in (*script.parser.statements, *script.parser.helpers.values()):
        script.replace(node)
    mark_helpers(script)
    mark_files(script)
    mark_globals(script, moved, trainer)
    mark_loader(script)
    _import_sdk(script)
    return trainer


def _called_function(script: Script, block: ast.If | None) -> tuple[ast.FunctionDef, ast.stmt] | None:
    """Return the function that the script calls when it runs, and the statement of the module that calls it.

    None if the script does more than to parse its command line and to call one function.
    """
    functions = {node.name: node for node in script.tree.body if isinstance(node, ast.FunctionDef)}
    body = block.body if block is not None else [node for node in script.tree.body if isinstance(node, ast.Expr)]
    calls = [node for node in body if not script.parsed_names(node) and node not in script.parser.statements]
    calls = [node for node in calls if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if len(calls) != 1:
        return None
    called = [one.func.id for one in ast.walk(calls[0]) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)]
    names = [name for name in called if name in functions and name not in script.parser.helpers]
    return (functions[names[-1]], block or calls[0]) if names else None


def _first_to_move(script: Script) -> ast.stmt | None:
    """Return the first statement of the module that trains, as far as its place tells.

    Statements before a function or class stay in the module if they do not use the command line, such as a logger.
    """
    body = script.tree.body
    last = max((node.lineno for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)), default=0)
    parsed = {name for node in body for name in script.parsed_names(node)}
    for node in body:
        if _is_loose(node) and node not in script.parser.statements and not script.parsed_names(node):
            used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            if node.lineno > last or used & parsed:
                return node
    return None


def _is_main_block(node: ast.stmt) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _is_loose(node: ast.stmt) -> bool:
    """Return whether a statement of the module runs something, rather than defining it."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
        return False
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return node.value is not None and any(isinstance(one, ast.Call) for one in ast.walk(node.value))
    return not isinstance(node, ast.Try)  # most often an import that may fail


def _convert_function(script: Script, main: ast.FunctionDef, caller: ast.stmt) -> tuple[str, set[str]]:
    """Make a trainer of a function; return its name, and the names that are no longer those of the module."""
    taken = {node.name for node in script.tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)} - {main.name}
    name = main.name if "train" in taken else "train"
    first = main.body[0]
    if first.lineno == main.lineno:
        raise ScriptError(f"{script.name}:{main.lineno}: write the body of {main.name}() on lines of its own")
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(main.body) > 1
    begin = min([main.lineno, *(one.lineno for one in main.decorator_list)])
    script.replace_lines(begin, _header_end(script, main), _header(name))
    outer = [*script.tree.body, *(caller.body if isinstance(caller, ast.If) else ())]
    parsed = {found for node in outer for found in script.parsed_names(node)}
    for node in outer:
        if script.parsed_names(node):
            script.replace(node)
    script.insert(main.body[1 if has_docstring else 0].lineno, _bindings(script, main, caller, parsed))
    script.replace(caller)
    _replace_parsing(script, main.body)
    return_result(script, main.body)
    return name, parsed


def _header(name: str) -> list[str]:
    return ["@trainer", f"def {name}(job: Job) -> Result:"]


def _header_end(script: Script, main: ast.FunctionDef) -> int:
    """Last line of a function's signature."""
    lines = range(main.body[0].lineno - 1, main.lineno, -1)
    signature = (number for number in lines if script.lines[number - 1].partition("#")[0].rstrip().endswith(":"))
    return next(signature, main.lineno)


def _bindings(script: Script, main: ast.FunctionDef, caller: ast.stmt, parsed: set[str]) -> list[str]:
    """Return lines that give parameters and globals of the function the values that its caller gave them."""
    indent = script.indent(main.body[0])
    calls = [one for one in ast.walk(caller) if isinstance(one, ast.Call)]
    call = next((one for one in calls if ast.unparse(one.func) == main.name), None)
    names = [one.arg for one in (*main.args.posonlyargs, *main.args.args, *main.args.kwonlyargs)]
    defaults = dict(zip(reversed(main.args.args), reversed(main.args.defaults), strict=False))
    given = {one.arg: value for one, value in reversed(defaults.items())}
    if call is not None:
        given |= dict(zip(names, call.args, strict=False))
        given |= {one.arg: one.value for one in call.keywords if one.arg}
    lines = [line for name, value in given.items() for line in _binding(script, name, value, parsed)]
    loaded = {one.id for one in ast.walk(main) if isinstance(one, ast.Name)}
    for name in sorted((parsed & loaded) - set(names)):
        lines += _namespace(script, name)
    return [f"{indent}{line}" for line in lines]


def _binding(script: Script, name: str, value: ast.expr, parsed: set[str]) -> list[str]:
    if script.parser.is_parse(value) or (isinstance(value, ast.Name) and value.id in parsed):
        return _namespace(script, name)
    if isinstance(value, ast.Attribute) and ast.unparse(value.value) in parsed:
        found = next((one for one in script.parser.arguments if one.name == value.attr), None)
        if found is not None:
            return [f"{name} = {found.value}{_remark(found.comment)}"]
    return [f"{name} = {ast.unparse(value)}"]


def _namespace(script: Script, name: str) -> list[str]:
    """Return a statement that makes of the job's config what argparse made of the command line."""
    arguments = [f"{INDENT}{one.name}={one.value},{_remark(one.comment)}" for one in script.parser.arguments]
    return [f"{name} = {_namespace_class(script)}(", *arguments, ")"]


def _remark(comment: str) -> str:
    return f"  # {comment}" if comment else ""


def _namespace_class(script: Script) -> str:
    for node in script.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "argparse":
            return "Namespace"
        if isinstance(node, ast.Import):
            for one in node.names:
                if one.name == "argparse":
                    return f"{one.asname or one.name}.Namespace"
    return "argparse.Namespace"


def _replace_parsing(script: Script, body: Sequence[ast.stmt]) -> None:
    for node in own_statements(body):
        names = script.parsed_names(node)
        if names:
            indent = script.indent(node)
            lines = [*_namespace(script, names[0]), *(f"{name} = []" for name in names[1:])]
            script.replace(node, [f"{indent}{line}" for line in lines])


def _wrap(script: Script, first: ast.stmt) -> tuple[str, set[str]]:
    """Make a trainer of the code that runs when the script does; return as :func:`_convert_function`."""
    body: Sequence[ast.stmt] = script.tree.body[script.tree.body.index(first) :]
    before = [node for node in script.tree.body if node.lineno < first.lineno and script.parsed_names(node)]
    if _is_main_block(first):
        body = first.body
        script.replace_lines(first.lineno, body[0].lineno - 1, _header("train"))
    else:
        script.shift = first.lineno
        script.insert(first.lineno, ["", "", *_header("train")])
    for node in before:
        lines = _namespace(script, script.parsed_names(node)[0])
        script.insert(body[0].lineno, [f"{script.indent(body[0])}{line}" for line in lines])
        script.replace(node)
    _replace_parsing(script, body)
    return_result(script, body)
    return "train", {*stored_names(body), *(name for node in before for name in script.parsed_names(node))}


def _import_sdk(script: Script) -> None:
    """Import the sdk after the imports at the top of the script, and what replaces argparse's parser."""
    line = 1
    for node in script.tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, ast.Import | ast.ImportFrom) and not is_docstring:
            break
        line = (node.end_lineno or node.lineno) + 1
        if isinstance(node, ast.ImportFrom) and node.module == "argparse":
            names = {one.name for one in node.names if one.name != "ArgumentParser"} | {"Namespace"}
            script.replace(node, [f"from argparse import {', '.join(sorted(names))}"])
    script.insert(line, [_SDK])


def _advice(script: Script, path: PurePath, function: str) -> list[str]:
    """Return what to do with the patch, as text that tools for patches skip."""
    is_in_folder = len(path.parts) > 1 and all(part.isidentifier() for part in path.parts[:-1])
    module = ".".join([*path.parts[:-1], path.stem]) if is_in_folder else "mytrainer"
    arguments = [
        one for one in script.parser.arguments if one.default is not None or one.value.startswith("job.config[")
    ]
    config = [f"    {one.name}: {_yaml(one.default)}" for one in arguments if not one.is_data]
    data = [_local(str(_value(one.default) or one.name)) for one in script.parser.arguments if one.is_data]
    named = f"[{', '.join(data)}]" if len(data) > 1 else (data or ["./train.csv"])[0]
    move = f" Then move the script into a folder of its own, as {module}/__init__.py." if not is_in_folder else ""
    return [
        f"# Turn {script.name} into a trainer: patch -p1 < FILE, or git apply FILE. Look at each TODO.{move}",
        "# The entry of model_tests.yaml:",
        "#",
        *(f"# {line}" for line in ("MyModel:", "  env: sandbox", f"  function: {module}.{function}")),
        f"#   data: {named}",
        "#   time_limit: 600",
        *(["#   config:"] if config else []),
        *(f"# {line}" for line in config),
        "#   metrics: {accuracy: 0.8}",
        "#   inference: false",
        "",
    ]


def _local(path: str) -> str:
    return path if path.startswith(("/", "./", "../")) else f"./{path}"


def _value(default: str | None) -> object:
    """Value of a literal; None if the source is not one."""
    try:
        return ast.literal_eval(default or "None")
    except (ValueError, SyntaxError):
        return None


def _yaml(default: str | None) -> str:
    """Return the source of a default as YAML, as far as YAML has such values."""
    value = _value(default)
    remark = f"null # TODO: {default}" if default else "null # TODO: it has no default"
    return json.dumps(value) if isinstance(value, str | int | float | list) else remark
