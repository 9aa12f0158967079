"""What can be wrong with a YAML file, as data: problems with a place, gathered into one exception."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ibmodels.redaction import visible

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """One mistake in one file.

    `line` and `column` count from 1. `str()` gives `FILE:LINE:COLUMN: MESSAGE`, the form that editors and CI logs
    make clickable, with escapes for what nobody sees in the message; the file is shown relative to the current folder
    where it lies below it.
    """

    path: Path
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{_shown(self.path)}:{self.line}:{self.column}: {visible(self.message)}"


class SpecError(Exception):
    """Everything that is wrong with `model_tests.yaml`, `environments.yaml`, or the two together.

    `problems` is sorted by file, line and column, without repetitions: a mistake in an anchored mapping is one mistake,
    however often the anchor is used.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
