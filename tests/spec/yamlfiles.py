"""Write YAML files for a test, and collect their problems."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.spec import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RIGHT = """\
env: sandbox
ibannotator: me/repo/fs/Drive/a.ibannotator
time_limit: 60
"""
"""The keys of a valid model test."""


def written(file: Path, text: str) -> Path:
    file.write_text(dedent(text), encoding="utf-8")
    return file


def said(call: Callable[[], object]) -> list[str]:
    """Call it, and return `LINE:COLUMN: MESSAGE` of each problem that it raises."""
    with pytest.raises(SpecError) as caught:
        call()
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]


def entry(*lines: str, name: str = "A") -> str:
    """Return a valid model test with additional lines, which start on line 5."""
    return f"{name}:\n{indent(RIGHT, '  ')}" + "".join(f"  {line}\n" for line in lines)
