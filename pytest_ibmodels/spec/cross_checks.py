"""Both files at once: what is wrong with either, and with the two together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.spec.environments import read_environments
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.messages import did_you_mean
from pytest_ibmodels.spec.model_tests import read_model_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.spec.environments import EnvironmentsFile
    from pytest_ibmodels.spec.model_tests import ModelTestsFile


def load(model_tests: Path, environments: Path | None, *, missing: str = "") -> tuple[ModelTestsFile, EnvironmentsFile]:
    """Read both files. Without an `environments.yaml` there is only the built-in `sandbox`.

    Args:
        model_tests: the file of model tests.
        environments: the file that describes environments; it need not be there.
        missing: what to say where an environment is not known, because that file is not there.

    Raises:
        SpecError: With everything that is wrong with the files, alone and together.
    """
    problems: list[Problem] = []
    tests = known = None
    try:
        tests, found = read_model_tests(model_tests)
        problems += found
    except SpecError as error:
        problems += error.problems
    try:
        known, found = read_environments(environments)
        problems += found
    except SpecError as error:
        problems += error.problems
    if tests is not None and known is not None:
        problems += _unknown_environments(tests, known, missing)
        problems += _without_database(tests, known)
        if not problems:
            return tests, known
    raise SpecError(problems)


def _unknown_environments(tests: ModelTestsFile, environments: EnvironmentsFile, missing: str) -> Iterator[Problem]:
    known = environments.names
    for use in tests.uses:
        if use.environment not in known:
            advice = did_you_mean(use.environment, known) or "."
            message = f"there is no environment `{use.environment}`{advice} Environments are {', '.join(known)}"
            message += f". {missing}" if missing else ""
            yield Problem(tests.path, use.line, use.column, message)


def _without_database(tests: ModelTestsFile, environments: EnvironmentsFile) -> Iterator[Problem]:
    for use in tests.uses:
        environment = environments.environments.get(use.environment)
        if use.needs_database and environment is not None and not environment.may_have_database:
            message = (
                f"a model test with a `table` needs a database, but environment `{use.environment}` has none: write "
                "`database: URL` into its entry"
            )
            yield Problem(tests.path, use.line, use.column, message)
