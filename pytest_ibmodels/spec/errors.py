"""Problems in the YAML files, each with its place, and the exception that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ibmodels.redaction import visible

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """One mistake in one file; `line` and `column` count from 1.

    `str()` returns `FILE:LINE:COLUMN: MESSAGE`, which editors and CI logs make clickable. Invisible characters of the
    message are escaped, and a file below the current folder is shown relative to it.
    """

    path: Path
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{_shown(self.path)}:{self.line}:{self.column}: {visible(self.message)}"


class SpecError(Exception):
    """All problems of `model_tests.yaml`, of `environments.yaml`, and of the two together.

    `problems` is sorted by file, line and column, and has no duplicates: a mistake in an anchored mapping is reported
    once, however often the anchor is used.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
