"""Functions behind the commands of `ibmodels` and `pytest --publish-only`.

Each function takes plain values, writes its result to stdout and its progress to stderr, and returns an exit code of
pytest. A wrong argument raises `pytest.UsageError` before the first request to an environment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels import spec
from pytest_ibmodels.cli.output import tell, write_lines
from pytest_ibmodels.cli.project import model_test_files
from pytest_ibmodels.engine import publishing
from pytest_ibmodels.engine.connection import for_each_environment
from pytest_ibmodels.engine.publishing import (
    EnvironmentFacts,
    Outcome,
    State,
)
from pytest_ibmodels.engine.sweep import SweepStatus, plan, sweep_environments
from pytest_ibmodels.journal.store import Journal, JournalError
from pytest_ibmodels.packaging import PackageError, build_marketplace_package, package_name
from pytest_ibmodels.reports.publications import environment_lines, outcome_lines
from pytest_ibmodels.reports.sweeping import sweep_lines
from pytest_ibmodels.spec import SpecError, load_environments
from pytest_ibmodels.spec.databases import fill_in, has_plain_password, has_stray_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from pytest_ibmodels.spec import Environment


def check(path: Path, file_names: Sequence[str], environments: Path) -> pytest.ExitCode:
    """Check model tests and environments without starting anything, and show every problem with its file and line.

    Args:
        path: a file of model tests, or a folder to search for such files.
        file_names: names of the files in a folder that contain model tests.
        environments: the file that describes the environments; it need not exist.

    Raises:
        pytest.UsageError: there is nothing to check.
    """
    # A project that only publishes has environments and no model tests.
    has_environments = environments.is_file()
    files = [path] if path.is_file() else model_test_files(path, file_names, only_certain=not has_environments)
    if not files and not has_environments:
        raise pytest.UsageError(f"{path}: found no model tests ({', '.join(file_names)}) and no {environments.name}")
    problems = {problem for file in files for problem in spec.check(file, environments)}
    if problems:
        write_lines([str(problem) for problem in sorted(problems)])
        return pytest.ExitCode.USAGE_ERROR
    tests = [spec.load_model_tests(file) for file in files]
    used = {use.environment for file in tests for use in file.uses} or _environments(environments, ())
    counts = _count(sum(len(file.tests) for file in tests), "model test"), _count(len(used), "environment")
    write_lines([f"{' on '.join(counts)}: no problems"])
    return pytest.ExitCode.OK


def publish(
    environments: Path, chosen: Sequence[str], folder: Path, *, dry_run: bool = False, journal_file: Path | None = None
) -> pytest.ExitCode:
    """Publish a package on every environment that does not have its version yet.

    Args:
        environments: the file that describes the environments.
        chosen: names of environments; empty means all that the file describes.
        folder: the package's folder.
        dry_run: show what would happen, and change nothing.
        journal_file: journal of uploads not yet deleted. None disables journaling.

    Raises:
        pytest.UsageError: the file or the package is invalid, or an environment is unknown.
    """
    targets = _environments(environments, chosen)
    try:
        package = build_marketplace_package(folder)
    except PackageError as error:
        raise pytest.UsageError(str(error)) from None
    size = f"{len(package.files)} files, {len(package.data) / 1000:.0f} kB"
    tell(f"{package.name} {package.version} ({size}) for {_names(targets)}")
    journal = Journal(journal_file)
    try:
        return _change(
            targets,
            (package.name, package.version),
            lambda target: publishing.publish(target, package, dry_run=dry_run, notify=_tell_of, journal=journal),
        )
    finally:
        journal.close()


def unpublish(
    environments: Path,
    chosen: Sequence[str],
    name: str,
    version: str,
    *,
    missing_ok: bool = False,
    dry_run: bool = False,
) -> pytest.ExitCode:
    """Unpublish a version of a package on every environment that has it.

    Arguments and errors are those of :func:`publish`. With ``missing_ok``, an environment without the version is a
    success.
    """
    targets = _environments(environments, chosen)
    tell(f"unpublishing {name} {version} on {_names(targets)}")
    return _change(
        targets,
        (name, version),
        lambda target: publishing.unpublish(
            target, name, version, missing_ok=missing_ok, dry_run=dry_run, notify=_tell_of
        ),
    )


def list_environments(
    environments: Path, chosen: Sequence[str], folder: Path, package: str | None = None
) -> pytest.ExitCode:
    """Show which environments answer and accept their token, and which versions of a package they have.

    If ``package`` is None, the package in ``folder`` counts.
    """
    targets = _environments(environments, chosen)
    if package is None:
        try:
            package = package_name(folder)
        except PackageError as error:
            tell(f"no versions are shown: {error}")
    seen, interrupted = for_each_environment(targets, lambda target: publishing.environment_facts(target, package))
    facts = [seen.get(target.name) or EnvironmentFacts(target.name, target.host) for target in targets]
    write_lines(environment_lines(facts, package))
    if interrupted:
        return pytest.ExitCode.INTERRUPTED
    accepted = all(one.is_token_accepted for one in facts)
    return pytest.ExitCode.OK if accepted else pytest.ExitCode.TESTS_FAILED


def sweep(environments: Path, chosen: Sequence[str], journal_file: Path, *, dry_run: bool = False) -> pytest.ExitCode:
    """Remove from environments what killed processes left behind, as the journal tells.

    Args:
        environments: the file that describes the environments.
        chosen: names of environments; empty means all that the journal names.
        journal_file: the journal; it need not exist.
        dry_run: show what would be removed, and change nothing.

    Raises:
        pytest.UsageError: a file is invalid, or an environment is unknown.
    """
    journal = Journal(journal_file)
    try:
        left = journal.left()
        used = journal.in_use()
        known = load_environments(environments).environments
        unknown = set(chosen) - set(known) - {entry.environment for entry in left}
        if unknown:
            raise _unknown(sorted(unknown), environments, known)
        meant = [entry for entry in left if not chosen or entry.environment in chosen]
        if used:
            processes = ", ".join(sorted({str(entry.pid) for entry in used}))
            tell(f"entries of running processes are kept (process {processes})")
        if not meant:
            tell("nothing to remove")
            return pytest.ExitCode.OK
        outcomes, interrupted = plan(meant), False
        if not dry_run:
            outcomes, interrupted = sweep_environments(known, meant, journal, tell=_tell_of)
    except (JournalError, SpecError) as error:
        raise pytest.UsageError(str(error)) from None
    finally:
        journal.close()
    write_lines(sweep_lines(outcomes))
    if interrupted:
        return pytest.ExitCode.INTERRUPTED
    left_over = any(one.status is SweepStatus.LEFT for one in outcomes)
    return pytest.ExitCode.TESTS_FAILED if left_over else pytest.ExitCode.OK


def load(file: Path, table: str, database: str, *, replace: bool = False) -> pytest.ExitCode:
    """Create a database table from a CSV file.

    Args:
        file: the CSV file, with a header.
        table: the table's name.
        database: URL of SQLAlchemy; `${VARIABLE}` is replaced by the environment variable.
        replace: drop an existing table of this name first.

    Raises:
        pytest.UsageError: the URL contains a password or an unset variable.
    """
    from pytest_ibmodels.cli.csv_import import TableError, load_csv

    if has_plain_password(database):
        raise pytest.UsageError(
            "--database holds a password, which every user of this machine can see: write ${VARIABLE} for it"
        )
    filled = fill_in(database, os.environ)
    if filled.missing:
        raise pytest.UsageError(f"--database: the environment variable {filled.missing[0]} is not set")
    if has_stray_at(filled.text):
        raise pytest.UsageError(
            "--database has a misplaced @: write %40 for an @ in a user, password or name of a database, or "
            "${VARIABLE} for a password, which is then quoted automatically"
        )
    try:
        loaded = load_csv(file, table, filled.text, replace=replace)
    except TableError as error:
        tell(str(error))
        return pytest.ExitCode.TESTS_FAILED
    columns = ", ".join(f"{name} {kind}" for name, kind in loaded.columns)
    write_lines([f"{loaded.table}: {loaded.rows} rows ({columns})"])
    return pytest.ExitCode.OK


def download(name: str, to: Path) -> pytest.ExitCode:
    """Download a model from the Hugging Face hub into a subfolder of `to`."""
    from pytest_ibmodels.cli.hub import DownloadError, download

    try:
        folder = download(name, to)
    except DownloadError as error:
        tell(str(error))
        return pytest.ExitCode.TESTS_FAILED
    write_lines([str(folder)])
    return pytest.ExitCode.OK


def _environments(path: Path, chosen: Sequence[str]) -> list[Environment]:
    """Chosen environments; without a choice all that the file describes, or else the built-in sandbox."""
    try:
        known = load_environments(path).environments
    except SpecError as error:
        raise pytest.UsageError(str(error)) from None
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise _unknown(unknown, path, known)
    described = [environment for environment in known.values() if environment.line]
    return [known[name] for name in chosen] or described or list(known.values())


def _unknown(names: Sequence[str], path: Path, known: Iterable[str]) -> pytest.UsageError:
    quoted = ", ".join(map(repr, names))
    return pytest.UsageError(f"--env {quoted}: no such environment in {path.name}; known are: {', '.join(known)}")


def _change(
    targets: Sequence[Environment], version: tuple[str, str], visit: Callable[[Environment], Awaitable[Outcome]]
) -> pytest.ExitCode:
    ended, interrupted = for_each_environment(targets, visit)
    cut_short = {target.name: Outcome(target.name, *version, State.INTERRUPTED, is_success=False) for target in targets}
    outcomes = list({**cut_short, **ended}.values())
    write_lines(outcome_lines(outcomes))
    if interrupted:
        return pytest.ExitCode.INTERRUPTED
    return pytest.ExitCode.OK if all(one.is_success for one in outcomes) else pytest.ExitCode.TESTS_FAILED


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _names(environments: Sequence[Environment]) -> str:
    return ", ".join(environment.name for environment in environments)


def _tell_of(environment: str, sentence: str) -> None:
    tell(f"{environment}: {sentence}")
