"""What the commands do, for `pytest --publish-only` and for `ibmodels` alike.

Each function takes plain values, writes a table to stdout and what happens on the way to stderr, and returns an exit
code of pytest's. What cannot be meant raises `pytest.UsageError`, before anything is asked of an environment.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

import pytest

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
from pytest_ibmodels.reports.tables import harmless
from pytest_ibmodels.spec import SpecError, load_environments
from pytest_ibmodels.spec.databases import fill_in, has_plain_password, has_stray_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from pytest_ibmodels.spec import Environment


def publish(
    environments: Path, chosen: Sequence[str], folder: Path, *, dry_run: bool = False, journal_file: Path | None = None
) -> pytest.ExitCode:
    """Publish a package wherever its version is not there yet.

    Args:
        environments: the file that describes the environments.
        chosen: names of those that are meant; empty: all that the file describes.
        folder: the package's folder.
        dry_run: only say what would be done.
        journal_file: where it is written down what is uploaded, until it is removed; None: nowhere.

    Raises:
        pytest.UsageError: the file or the package is not as it has to be, or an environment is not known.
    """
    targets = _environments(environments, chosen)
    try:
        package = build_marketplace_package(folder)
    except PackageError as error:
        raise pytest.UsageError(str(error)) from None
    size = f"{len(package.files)} files, {len(package.data) / 1000:.0f} kB"
    _tell(f"{package.name} {package.version} ({size}) for {_names(targets)}")
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
    """Take a version of a package back wherever it is; as :func:`publish`.

    With ``missing_ok`` it is a success where the version is not there.
    """
    targets = _environments(environments, chosen)
    _tell(f"taking {name} {version} back from {_names(targets)}")
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
    """Show which environments answer and accept their token, and which versions of a package are there.

    If ``package`` names none, that of ``folder`` is meant.
    """
    targets = _environments(environments, chosen)
    if package is None:
        try:
            package = package_name(folder)
        except PackageError as error:
            _tell(f"no versions are shown: {error}")
    seen, interrupted = for_each_environment(targets, lambda target: publishing.environment_facts(target, package))
    facts = [seen.get(target.name) or EnvironmentFacts(target.name, target.host) for target in targets]
    _write(environment_lines(facts, package))
    if interrupted:
        return pytest.ExitCode.INTERRUPTED
    accepted = all(one.is_token_accepted for one in facts)
    return pytest.ExitCode.OK if accepted else pytest.ExitCode.TESTS_FAILED


def sweep(environments: Path, chosen: Sequence[str], journal_file: Path, *, dry_run: bool = False) -> pytest.ExitCode:
    """Remove from environments what the journal still holds of processes that are no longer alive.

    Args:
        environments: the file that describes the environments.
        chosen: names of those that are meant; empty: all that the journal names.
        journal_file: the journal; it need not be there.
        dry_run: only say what would be removed.

    Raises:
        pytest.UsageError: a file is not as it has to be, or an environment is not known.
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
            _tell(f"what pytest makes at present is left alone (process {processes})")
        if not meant:
            _tell("nothing is left behind")
            return pytest.ExitCode.OK
        outcomes, interrupted = plan(meant), False
        if not dry_run:
            outcomes, interrupted = sweep_environments(known, meant, journal, tell=_tell_of)
    except (JournalError, SpecError) as error:
        raise pytest.UsageError(str(error)) from None
    finally:
        journal.close()
    _write(sweep_lines(outcomes))
    if interrupted:
        return pytest.ExitCode.INTERRUPTED
    left_over = any(one.status is SweepStatus.LEFT for one in outcomes)
    return pytest.ExitCode.TESTS_FAILED if left_over else pytest.ExitCode.OK


def load(file: Path, table: str, database: str, *, replace: bool = False) -> pytest.ExitCode:
    """Make a database table from a CSV file.

    Args:
        file: with a header.
        table: its name.
        database: URL of SQLAlchemy, in which `${VARIABLE}` is filled in.
        replace: drop a table of this name first.

    Raises:
        pytest.UsageError: the URL holds a password, or a variable that is not set.
    """
    from pytest_ibmodels.cli.csv_import import TableError, load_csv

    if has_plain_password(database):
        raise pytest.UsageError(
            "--database holds a password, which everybody on this machine can see there: write ${VARIABLE} for it"
        )
    filled = fill_in(database, os.environ)
    if filled.missing:
        raise pytest.UsageError(f"--database: the environment variable {filled.missing[0]} is not set")
    if has_stray_at(filled.text):
        raise pytest.UsageError(
            "--database has an @ where none belongs: in a user, password or name of a database it is written %40; "
            "write ${VARIABLE} for a password, and it is quoted by itself"
        )
    try:
        loaded = load_csv(file, table, filled.text, replace=replace)
    except TableError as error:
        _tell(str(error))
        return pytest.ExitCode.TESTS_FAILED
    columns = ", ".join(f"{name} {kind}" for name, kind in loaded.columns)
    _write([f"{loaded.table}: {loaded.rows} rows ({columns})"])
    return pytest.ExitCode.OK


def download(name: str, to: Path) -> pytest.ExitCode:
    """Fetch a model from the Hugging Face hub into a folder of `to`."""
    from pytest_ibmodels.cli.hub import DownloadError, download

    try:
        folder = download(name, to)
    except DownloadError as error:
        _tell(str(error))
        return pytest.ExitCode.TESTS_FAILED
    _write([str(folder)])
    return pytest.ExitCode.OK


def _environments(path: Path, chosen: Sequence[str]) -> list[Environment]:
    """Those that are chosen; else all that the file describes; else the built-in sandbox."""
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
    _write(outcome_lines(outcomes))
    if interrupted:
        return pytest.ExitCode.INTERRUPTED
    return pytest.ExitCode.OK if all(one.is_success for one in outcomes) else pytest.ExitCode.TESTS_FAILED


def _names(environments: Sequence[Environment]) -> str:
    return ", ".join(environment.name for environment in environments)


def _write(lines: Sequence[str]) -> None:
    _put(sys.stdout, "".join(f"{harmless(line)}\n" for line in lines))


def _tell(sentence: str) -> None:
    _put(sys.stderr, f"{harmless(sentence)}\n")


def _put(stream: TextIO, text: str) -> None:
    """Write a text, with escapes for what the stream has no letters for: the work is done, and has to be told."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _tell_of(environment: str, sentence: str) -> None:
    _tell(f"{environment}: {sentence}")
