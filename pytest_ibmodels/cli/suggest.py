"""The command `ibmodels suggest`: which bounds of model tests the history supports, and writing them into the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.cli.history_access import NoHistory, missing_package, open_history
from pytest_ibmodels.cli.output import tell, write_lines
from pytest_ibmodels.history.advice import CONFIDENCE, DROP, advise, loosest
from pytest_ibmodels.history.origin import project_name
from pytest_ibmodels.reports.tables import one_line, table
from pytest_ibmodels.spec import SpecError, load_model_tests
from pytest_ibmodels.spec.minimum_edit import BoundChange, edit_file
from pytest_ibmodels.spec.recognition import looks_like_model_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_ibmodels.history.advice import Advice
    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.spec.minimum_edit import RefusedChange
    from pytest_ibmodels.spec.project import Project

_HEADER = ("model test", "environment", "metric", "field", "runs", "mean", "spread", "bound", "present", "failed")
_HEADER_END = ("expected", f"catches -{DROP * 100:.0f}", "proposed")
_RIGHT = frozenset({4, 5, 6, 8, 9, 10, 11, 12})


def stored_runs(project: Project) -> Callable[[str | None, int], Sequence[StoredRun]]:
    """Return a function that reads the newest runs of a model test, or of all; it raises :class:`NoHistory`."""

    def newest_runs(test: str | None, last: int) -> Sequence[StoredRun]:
        with open_history(project) as history:
            return history.runs(project_name(project.folder), test=test, last=last)

    return newest_runs


def suggest(
    files: Sequence[Path],
    newest_runs: Callable[[str | None, int], Sequence[StoredRun]],
    test: str | None = None,
    environments: Sequence[str] = (),
    *,
    last: int = 50,
    write: bool = False,
) -> pytest.ExitCode:
    """Show for every bound what its earlier runs support, and change the bounds of the files with `write`.

    Args:
        files: files of model tests.
        newest_runs: returns the last so many runs of a model test in each environment, or those of each model test.
        test: only this model test; None for all.
        environments: only these environments; empty for all.
        last: number of the newest runs of each model test in each environment that are read.
        write: change the numbers in the files to what is proposed.

    Raises:
        pytest.UsageError: a file is invalid, or there is no such model test or environment.
    """
    known = _model_tests(files)
    _check_names(known, test, environments)
    chosen = [(path, one) for path, one in known if test in {None, one.name} and one.metrics]
    try:
        advice = _advice(chosen, newest_runs(test, last) if chosen else (), environments)
    except NoHistory as error:
        tell(str(error))
        return pytest.ExitCode.TESTS_FAILED
    except ModuleNotFoundError as error:
        tell(missing_package(error))
        return pytest.ExitCode.TESTS_FAILED
    found = [one for ones in advice.values() for one in ones]
    if not found:
        write_lines(["no model test has a minimum or a maximum: there is nothing to suggest"])
        return pytest.ExitCode.OK
    write_lines(lines(found))
    if not write:
        return pytest.ExitCode.OK
    return _change_all(advice)


def lines(found: Sequence[Advice]) -> list[str]:
    """Return the table of advice, what its columns mean, and notes on bounds that show little."""
    rows = [_row(one) for one in found]
    notes = [one_line(f"{_name(one)}: {note}") for one in found for note in _notes(one)]
    points = f"{DROP * 100:.0f}"
    legend = (
        "failed: runs that were fine and below the present minimum (above a maximum); expected: share of fine runs\n"
        f"that this happens to; catches -{points}: share of runs {points} points worse that the present bound fails;\n"
        f"proposed: fails at most about {1 - CONFIDENCE:.0%} of fine runs"
    ).splitlines()
    return [*table((*_HEADER, *_HEADER_END), rows, right=_RIGHT), "", *legend, *([""] if notes else []), *notes]


def _model_tests(files: Sequence[Path]) -> list[tuple[Path, ModelTest]]:
    known = []
    for path in files:
        if not looks_like_model_tests(path):
            continue
        try:
            known += [(path, test) for test in load_model_tests(path).tests.values()]
        except SpecError as error:
            raise pytest.UsageError(str(error)) from None
    if not known:
        raise pytest.UsageError("this project has no model tests: there is no model_tests.yaml, or it is empty")
    return known


def _check_names(known: Sequence[tuple[Path, ModelTest]], test: str | None, environments: Sequence[str]) -> None:
    names = [one.name for _, one in known]
    if test is not None and test not in names:
        raise pytest.UsageError(f"TEST {test!r}: no such model test; known are: {', '.join(names)}")
    used = dict.fromkeys(name for _, one in known for name in one.env)
    for environment in environments:
        if environment not in used:
            raise pytest.UsageError(f"--env {environment!r}: no model test uses it; used are: {', '.join(used)}")


def _advice(
    tests: Sequence[tuple[Path, ModelTest]], runs: Sequence[StoredRun], environments: Sequence[str]
) -> dict[Path, list[Advice]]:
    """Return the advice on the bounds of model tests, by their files."""
    of_case: dict[tuple[str, str], list[StoredRun]] = {}
    for run in runs:
        of_case.setdefault((run.test, run.environment), []).append(run)
    advice: dict[Path, list[Advice]] = {}
    for path, test in tests:
        bounds = {
            metric: {field: (minimum.min, minimum.max) for field, minimum in fields.items()}
            for metric, fields in test.metrics.items()
        }
        for name in test.env:
            if name in environments or not environments:
                found = advise(test.name, name, bounds, of_case.get((test.name, name), ()))
                advice.setdefault(path, []).extend(found)
    return advice


def _change_all(advice: Mapping[Path, Sequence[Advice]]) -> pytest.ExitCode:
    """Write the proposals into all files, also if one of them cannot be written."""
    code = pytest.ExitCode.OK
    written = []
    for path, found in advice.items():
        try:
            written += _change(path, found)
        except (OSError, ValueError) as error:
            tell(f"{path.name} is not changed: {error}")
            code = pytest.ExitCode.TESTS_FAILED
    if code is pytest.ExitCode.OK and not written:
        written = ["every bound has its proposed value already, or no proposal: nothing is changed"]
    write_lines(["", *written])
    return code


def _change(path: Path, found: Sequence[Advice]) -> list[str]:
    """Write the proposals into a file, and return a line for each number that is changed or left alone.

    A bound that holds in several environments gets the proposal that is loosest.
    """
    by_bound: dict[tuple[str, str, str, str], list[Advice]] = {}
    for one in found:
        by_bound.setdefault((one.test, one.metric, one.field, one.bound), []).append(one)
    changes = [
        BoundChange(ones[0].test, ones[0].metric, ones[0].field, ones[0].bound, number)
        for ones in by_bound.values()
        if (number := loosest(ones)) is not None
    ]
    present = {key: ones[0].present for key, ones in by_bound.items()}
    edited = edit_file(path, changes)
    made = [
        f"{path.name}:{line}: {change.key}: {present[change.test, change.metric, change.field, change.bound]:g} → "
        f"{change.value:g}"
        for change, line in edited.changed
    ]
    return [*made, *(_refusal(path, refused) for refused in edited.refused)]


def _refusal(path: Path, refused: RefusedChange) -> str:
    change = refused.change
    return f"{path.name}:{refused.line}: {change.key}: not changed to {change.value:g}: {refused.reason}"


def _row(one: Advice) -> tuple[str, ...]:
    return (
        one.test,
        one.environment,
        one.metric,
        one.field,
        str(one.runs),
        _number(one.mean),
        _number(one.spread),
        one.bound,
        f"{one.present:g}",
        f"{one.failed} of {one.runs}" if one.runs else "-",
        _share(one.expected),
        _share(one.catches),
        "-" if one.proposed is None else f"{one.proposed:g}",
    )


def _notes(one: Advice) -> list[str]:
    notes = list(one.notes)
    if one.misses_drops:
        note = f"{one.present:g} lets most runs that are {DROP * 100:.0f} points worse pass"
        if one.proposed is not None and one.proposed_catches is not None:
            note += f"; {one.proposed:g} would fail {_share(one.proposed_catches)} of them"
        notes.append(note)
    return notes


def _name(one: Advice) -> str:
    return f"{one.test} on {one.environment}, {one.metric} {one.field}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if abs(value) >= 1 else f"{value:.3f}"


def _share(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.1 %" if 0 < value < 0.001 else "> 99.9 %" if 0.999 < value < 1 else f"{value * 100:.3g} %"
