"""Result of the check of a project: counts by field, and problems with their places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_ibmodels.documents.json_files import JsonFile, Key, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 20
"""Maximum number of problems that are shown of each kind."""


class Problem(NamedTuple):
    """Problem of a project.

    Attributes:
        kind: short name of the kind, to count.
        path: keys and indices of the part of the project that is wrong.
        message: what is wrong, and what to do.
        is_error: True if it must be mended; False if training does without.
    """

    kind: str
    path: tuple[Key, ...]
    message: str
    is_error: bool


@dataclass(slots=True)
class FieldCount:
    """Number of training and test documents with words of a field, and of those words."""

    training: int = 0
    test: int = 0
    training_words: int = 0
    test_words: int = 0


@dataclass(slots=True)
class ProjectCheck:
    """Result of a check.

    Attributes:
        file: the project.
        fields: counts by field.
        training: number of annotated training documents.
        test: number of annotated test documents.
        unannotated: number of documents without annotations.
        problems: problems in the order of the file.
    """

    file: JsonFile
    fields: dict[str, FieldCount] = field(default_factory=dict)
    training: int = 0
    test: int = 0
    unannotated: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Number of problems that must be mended."""
        return sum(problem.is_error for problem in self.problems)

    def lines(self) -> Iterator[str]:
        """Return a line for each problem, errors first, with file and line; of each kind, at most `SHOWN`."""
        counts: dict[tuple[bool, str], int] = {}
        for problem in sorted(self.problems, key=lambda one: not one.is_error):
            key = (problem.is_error, problem.kind)
            counts[key] = counts.get(key, 0) + 1
            if counts[key] <= SHOWN:
                word = "error" if problem.is_error else "warning"
                yield f"{self.file.where(problem.path)}: {word}: {shown_path(problem.path)}{problem.message}"
        for (is_error, kind), count in counts.items():
            if count > SHOWN:
                word = "errors" if is_error else "warnings"
                yield f"{self.file.file}: {count - SHOWN} more {word} of this kind: {kind}"
