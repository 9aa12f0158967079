"""The command `ibmodels history`: series as a table in the terminal or as a page, and the history as JSON lines."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.cli.history_access import NoHistory, open_history
from pytest_ibmodels.cli.output import tell, write_lines
from pytest_ibmodels.history.origin import project_name
from pytest_ibmodels.history.series import change_of, series_of
from pytest_ibmodels.reports.figures import number, signed
from pytest_ibmodels.reports.files import write_atomically
from pytest_ibmodels.reports.tables import one_line, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.history.series import Series
    from pytest_ibmodels.history.store import History
    from pytest_ibmodels.spec.project import Project

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
"""Characters of a sparkline, from low to high; the second where the terminal has no blocks."""
_LEAST_SPAN = 0.02
"""Smallest difference that fills the height of a sparkline, so that noise does not look like a trend."""

_HEADER = ("model test", "environment", "metric", "field", "runs", "trend", "last", "change", "minimum")
_RIGHT = frozenset({4, 6, 7, 8})


def show(
    project: Project, test: str | None, environments: Sequence[str], metric: str | None, last: int
) -> pytest.ExitCode:
    """Show every series of the last runs, with its last value, change and minimum.

    Args:
        project: the project's files and settings.
        test: only this model test; None for all.
        environments: only these environments; empty for all.
        metric: only this metric; None for all.
        last: number of runs of each model test on each environment.

    Raises:
        pytest.UsageError: the history has no such model test, environment or metric.
    """
    name = project_name(project.folder)

    def lines(history: History) -> list[str]:
        runs = _chosen_runs(history, name, test, environments, metric, last)
        if not runs:
            return [f"the history of {name} has no runs yet: it gets one with each training that pytest runs"]
        shown = [series for series in series_of(runs) if metric in {None, series.key.metric}]
        return table_lines(shown, sys.stdout.encoding or "utf-8")

    return _use(project, lambda history: write_lines(lines(history)))


def write_page(
    project: Project, test: str | None, environments: Sequence[str], metric: str | None, last: int, file: Path
) -> pytest.ExitCode:
    """Write every series of the last runs as an HTML page; the other arguments are those of :func:`show`.

    Raises:
        pytest.UsageError: also if the file cannot be written, a package is missing, or a setting is wrong.
    """
    if file.is_dir() or not file.parent.is_dir():
        reason = "this is a folder, not a file" if file.is_dir() else f"create its folder {file.parent} first"
        raise pytest.UsageError(f"--html {file}: {reason}")
    try:
        # No module names the page, whose packages are an extra.
        render = pkgutil.resolve_name("pytest_ibmodels.reports.html.history_page:history_page")
    except ModuleNotFoundError as error:
        raise pytest.UsageError(
            f"--html needs a package that is not installed ({error.name}): pip install 'pytest-ibmodels[report]'"
        ) from None
    name, min_shift = project_name(project.folder), _min_shift(project)
    selection = (test, ", ".join(environments), metric, f"the last {_runs(last)} of each model test")

    def write(history: History) -> None:
        runs = _chosen_runs(history, name, test, environments, metric, last)
        page, shown = render(name, runs, metric, min_shift, selection=", ".join(filter(None, selection)))
        _write_file(file, page)
        tell(f"{file}: {shown}")

    return _use(project, write)


def export(project: Project, file: str) -> pytest.ExitCode:
    """Write all runs of this project as JSON lines to a file, or to stdout for `-`."""

    def write(history: History) -> None:
        lines = list(history.export(project_name(project.folder)))
        if file == "-":
            sys.stdout.writelines(lines)
        else:
            _write_file(Path(file), "".join(lines))
        tell(f"exported {_runs(len(lines))}")

    return _use(project, write)


def import_(project: Project, file: str) -> pytest.ExitCode:
    """Add the runs of a file of JSON lines, or of stdin for `-`: all of them, or none if one line is wrong."""

    def read(history: History) -> None:
        if file == "-":
            added, known = history.import_(sys.stdin)
        else:
            with Path(file).open(encoding="utf-8") as lines:
                added, known = history.import_(lines)
        tell(f"imported {_runs(added)}; {known} known already")

    return _use(project, read)


def table_lines(found: Sequence[Series], encoding: str) -> list[str]:
    """Return the table of series, and a line for each series that starts anew."""
    characters = _characters(encoding)
    rows = [_row(series, characters) for series in found]
    notes = [
        one_line(f"  {series.key.test} on {series.key.environment}, {series.key.metric} {series.key.field}: {note}")
        for series in found
        if (note := series.note)
    ]
    return [*table(_HEADER, rows, right=_RIGHT), *([""] if notes else []), *notes]


def sparkline(values: Sequence[float | None], characters: str = BLOCKS) -> str:
    """Return one character for each value, from the lowest to the highest; a blank for an undefined value."""
    known = [value for value in values if value is not None]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    span = max(high - low, _LEAST_SPAN * max(1.0, abs(high)))
    middle, top = (low + high) / 2, len(characters) - 1

    def character(value: float) -> str:
        return characters[round((0.5 + (value - middle) / span) * top)]

    return "".join(" " if value is None else character(value) for value in values)


def _characters(encoding: str) -> str:
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def _row(series: Series, characters: str) -> tuple[str, ...]:
    values = [point.metric.value for point in series.points]
    last, change = values[-1], change_of(values)
    minimum, maximum = series.last.metric.minimum, series.last.metric.maximum
    bound = number(minimum) if maximum is None else f"at most {number(maximum)}"
    key, trend = series.key, sparkline(values, characters)
    signs = number(None) if change is None else signed(change)
    return (key.test, key.environment, key.metric, key.field, str(len(values)), trend, number(last), signs, bound)


def _chosen_runs(
    history: History,
    project: str,
    test: str | None,
    environments: Sequence[str],
    metric: str | None,
    last: int,
) -> list[StoredRun]:
    """Return the last runs of what was chosen; none if the history has no runs at all.

    Raises:
        pytest.UsageError: the history has no such model test, environment or metric.
    """
    cases = history.tests(project)
    if not cases:
        return []
    _check_name("TEST", test, [known for known, _ in cases])
    for environment in environments:
        _check_name("--env", environment, [known for _, known in cases])
    runs = history.runs(project, test=test, last=last)
    chosen = [run for run in runs if not environments or run.environment in environments]
    _check_name("--metric", metric, [stored.metric for run in chosen for stored in run.metrics])
    return chosen


def _write_file(file: Path, text: str) -> None:
    try:
        write_atomically(file, text)
    except OSError as error:
        raise OSError(f"{file} cannot be written: {error.strerror}") from None


def _min_shift(project: Project) -> float:
    try:
        value = float(project.trend_min_shift)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise pytest.UsageError(f"ibmodels_trend_min_shift = {project.trend_min_shift!r}: should be a number above 0")
    return value


def _use(project: Project, action: Callable[[History], None]) -> pytest.ExitCode:
    """Call ``action`` with the project's history; say what is wrong if the history or a file cannot be used."""
    try:
        with open_history(project) as history:
            action(history)
    except (NoHistory, OSError, UnicodeDecodeError) as error:
        tell(str(error))
        return pytest.ExitCode.TESTS_FAILED
    return pytest.ExitCode.OK


def _check_name(option: str, name: str | None, known: Sequence[str]) -> None:
    if name is not None and name not in known:
        names = ", ".join(dict.fromkeys(known)) or "none"
        raise pytest.UsageError(f"{option} {name!r}: not in the history; known are: {names}")


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"
