"""Read both YAML files at once, and check one against the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_ibmodels.spec.environments import read_environments
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.messages import did_you_mean
from pytest_ibmodels.spec.model_tests import read_model_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_ibmodels.spec.environments import EnvironmentsFile
    from pytest_ibmodels.spec.model_test import ModelTestsFile

PathT = TypeVar("PathT")
FileT = TypeVar("FileT")


def load(model_tests: Path, environments: Path | None, *, missing: str = "") -> tuple[ModelTestsFile, EnvironmentsFile]:
    """Read both files. Without an `environments.yaml`, the only environment is the built-in `sandbox`.

    Args:
        model_tests: the file of model tests.
        environments: the file of environments, which need not exist; None means there is none.
        missing: advice to add to the message about an unknown environment if there is no file of environments.

    Raises:
        SpecError: Either file, or the two together, are invalid; with all their problems.
    """
    tests, problems = _read(read_model_tests, model_tests)
    known, more = _read(read_environments, environments)
    problems += more
    if tests is not None and known is not None:
        problems += _unknown_environments(tests, known, missing)
        problems += _missing_databases(tests, known)
        if not problems:
            return tests, known
    raise SpecError(problems)


def check(model_tests: Path, environments: Path | None) -> list[Problem]:
    """All problems of both files, sorted by file, line and column; empty if both are valid.

    Args:
        model_tests: the file of model tests.
        environments: the file of environments, which need not exist; None means there is none.
    """
    try:
        load(model_tests, environments)
    except SpecError as error:
        return list(error.problems)
    return []


def _read(read: Callable[[PathT], tuple[FileT, list[Problem]]], path: PathT) -> tuple[FileT | None, list[Problem]]:
    try:
        return read(path)
    except SpecError as error:
        return None, list(error.problems)


def _unknown_environments(tests: ModelTestsFile, environments: EnvironmentsFile, missing: str) -> Iterator[Problem]:
    known = environments.names
    for use in tests.uses:
        if use.environment not in known:
            advice = did_you_mean(use.environment, known)
            message = f"unknown environment `{use.environment}`{advice} (environments: {', '.join(known)})"
            message += f". {missing}" if missing else ""
            yield Problem(tests.path, use.line, use.column, message)


def _missing_databases(tests: ModelTestsFile, environments: EnvironmentsFile) -> Iterator[Problem]:
    for use in tests.uses:
        environment = environments.environments.get(use.environment)
        if use.needs_database and environment is not None and not environment.may_have_database:
            message = (
                f"a model test with a `table` needs a database, but environment `{use.environment}` has none: add "
                "`database: URL` to its entry"
            )
            yield Problem(tests.path, use.line, use.column, message)
