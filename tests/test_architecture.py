"""Rules of the layout that import-linter does not check, and its ban on cycles."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grimp
import pytest

import pytest_ibmodels
from pytest_ibmodels import spec

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGES = ("pytest_ibmodels", "ibformers")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
LONGEST_MODULE = 350
RIDDLES = ("What ", "Whoever ", "Whatever ", "Of ", "For so ", "In which ")


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring, including those of constants and attributes."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        for statement in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            text = (
                statement.value.value
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                else None
            )
            if isinstance(text, str):
                yield statement.lineno, text


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("types", [False, True], ids=["at run time", "with TYPE_CHECKING"])
def test_imports_have_no_cycles(package: str, types: bool) -> None:
    # A cycle of modules is one of the children of their closest common package, too.
    graph = grimp.build_graph(package, exclude_type_checking_imports=not types, cache_dir=None)
    cycles = {parent: graph.nominate_cycle_breakers(parent) for parent in graph.modules if graph.find_children(parent)}
    assert {parent: sorted(imports) for parent, imports in cycles.items() if imports} == {}


def test_public_names_are_imported_on_first_use() -> None:
    script = "import sys, pytest_ibmodels; print([name for name in sys.modules if name.startswith('pytest_ibmodels.')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["['pytest_ibmodels.collection']"]  # a stand-in for the module that has moved
    assert all(getattr(pytest_ibmodels, name).__name__ == name for name in pytest_ibmodels.__all__)


def test_the_history_is_read_without_the_models_of_the_yaml_files() -> None:
    script = (
        "import sys, pytest_ibmodels.history.store; print({'pydantic', 'yaml', 'numpy', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["set()"]
    assert all(getattr(spec, name) for name in spec.__all__)
    with pytest.raises(AttributeError, match=r"^module 'pytest_ibmodels.spec' has no attribute 'nothing'$"):
        _ = spec.nothing


def test_the_old_import_of_items_works() -> None:
    former = importlib.import_module("pytest_ibmodels.collection")
    with pytest.deprecated_call(match="import PhaseItem from pytest_ibmodels$"):
        assert former.PhaseItem is pytest_ibmodels.PhaseItem


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for file in FILES
        for line, text in docstrings(file)
        if text.startswith(RIDDLES)
    ]
    assert found == []


def test_modules_are_short() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: count for name, count in lines.items() if count > LONGEST_MODULE} == {}


def test_everything_of_the_plugin_is_in_a_room() -> None:
    files = {file.name for file in (ROOT / "pytest_ibmodels").iterdir() if file.is_file()}
    assert files == {"__init__.py", "hooks.py", "plugin.py", "redaction.py"}
