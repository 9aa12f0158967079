"""Comments in a changed script: what its author has to decide."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.cli.from_script.script import Script

_DATA_FILE = re.compile(r".*\.(csv|tsv|jsonl?|ndjson|parquet|npz|npy|pkl|txt)(\.gz)?")
_WRITES = re.compile(r"to_.*|.*(save|dump|write).*")
_LOADER = """

# TODO: to serve the model, write `load(folder)`, which returns a function of an input that returns its prediction, and
# give the result `predictions`. Until then, write `inference: false` in the model test."""


def mark_files(script: Script) -> None:
    """Mark statements that read a file by a fixed name, which is not there when a job runs."""
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.stmt) or script.is_replaced(node):
            continue
        names = list(dict.fromkeys(_files_read(node)))
        if names:
            paths = ", ".join(f'job.path("{name.rpartition("/")[2]}")' for name in names)
            remark = f"# TODO: a job has the files of `data` of the model test only: read {paths}"
            script.insert(node.lineno, [f"{script.indent(node)}{remark}"])


def _files_read(node: ast.stmt) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler):
            continue
        for call in ast.walk(child):
            if isinstance(call, ast.Call) and not _writes(call):
                texts = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield from (text for text in texts if _DATA_FILE.fullmatch(text))


def _writes(call: ast.Call) -> bool:
    name = ast.unparse(call.func).rpartition(".")[2]
    modes = [one.value for one in call.args[1:] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return bool(_WRITES.fullmatch(name)) or (name == "open" and any(set(mode) & set("wax") for mode in modes))


def mark_globals(script: Script, moved: set[str], trainer: str) -> None:
    """Mark functions that use a name of the module which is now a variable of the trainer."""
    for node in script.tree.body:
        is_inside = script.shift and node.lineno >= script.shift
        if not isinstance(node, ast.FunctionDef) or script.is_replaced(node) or is_inside:
            continue
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
        own = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        own |= {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
        names = sorted((used & moved) - own)
        if names:
            variables = "is now a variable" if len(names) == 1 else "are now variables"
            remark = (
                f"# TODO: {', '.join(names)} {variables} of {trainer}(): pass what {node.name}() needs as arguments"
            )
            script.insert(node.lineno, [remark])


def mark_helpers(script: Script) -> None:
    """Mark the places of removed functions that did more than to parse the command line."""
    for node in script.parser.helpers.values():
        known = [one for one in node.body if isinstance(one, ast.Return) or script.parsed_names(one)]
        known += [one for one in node.body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
        others = [one for one in node.body if one not in known and one not in script.parser.statements]
        if others:
            remarks = [f"# TODO: {node.name}() did this, too, which a config does not:"]
            source = [line for one in others for line in ast.unparse(one).splitlines()]
            script.insert(node.lineno, [*remarks, *(f"#   {line}" for line in source)])


def mark_loader(script: Script) -> None:
    """Say at the end of the script how the model is served, if it does not serve it."""
    if not any(isinstance(node, ast.FunctionDef) and node.name == "load" for node in script.tree.body):
        script.insert(len(script.lines) + 1, _LOADER.splitlines())
