"""The short summary after the last test: each metric with its margin for what passed, environments side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.comparison import compare
from pytest_ibmodels.reports.figures import figures, told_apart
from pytest_ibmodels.reports.tables import harmless, table
from pytest_ibmodels.reports.versus import measured_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from pytest_ibmodels.reports.comparison import ComparisonRow
    from pytest_ibmodels.reports.record import CheckRecord, RunRecord


def write_summary(reporter: pytest.TerminalReporter, runs: Sequence[RunRecord]) -> None:
    """Write a section on the phases that passed; nothing if none did."""
    lines = [line for run in runs for line in _lines(run)]
    if lines:
        reporter.section("model tests")
        for line in lines:
            reporter.write_line(harmless(line))
    comparison = compare(runs)
    if comparison.rows:
        reporter.section("environments side by side")
        rows = [(row.test, row.field, row.metric, *_cells(row)) for row in comparison.rows]
        values = range(3, 3 + len(comparison.environments))
        header = ("model test", "field", "metric", *(f"{name}  " for name in comparison.environments))
        for line in table(header, rows, right=frozenset(values)):
            reporter.write_line(line)
        if any(row.worst and not row.low_is_better for row in comparison.rows):
            reporter.write_line("  < is the lowest of its row")
        if any(row.worst and row.low_is_better for row in comparison.rows):
            reporter.write_line("  > is the highest of its row, which has a maximum")


def _cells(row: ComparisonRow) -> Iterator[str]:
    for index, text in enumerate(told_apart(row.observed)):
        yield f"{text} {row.sign if index in row.worst else ' '}"


def _lines(run: RunRecord) -> Iterator[str]:
    if run.training.outcome == "passed" and run.job_id is None:
        yield f"{run.title}: the training's item passed, and no job was started"
    elif run.training.outcome == "passed":
        job = f"re-attached to job {run.job_id}" if run.reattached else f"job {run.job_id}"
        yield f"{run.title}: trained in {run.seconds.training or 0.0:.1f} s ({job})"
        yield from _margins(run.training.checks)
        if run.training.test_part is not None:
            yield f"  {measured_on(run.training.test_part, run.training.comparison)}"
    if run.inference.outcome == "passed" and not run.inference.documents:
        yield f"{run.title}: the inference's item passed, and nothing was served"
    elif run.inference.outcome == "passed":
        fields, documents = run.inference.fields, len(run.inference.documents)
        yield (
            f"{run.title}: served; {fields} field{'s' * (fields != 1)} of {documents} document{'s' * (documents != 1)} "
            f"{'is' if fields == 1 else 'are'} as at training ({run.seconds.inference or 0.0:.1f} s)"
        )
        if not run.inference.texts:
            yield "  note that the model found no field at all, neither now nor at training"
        yield from _margins(run.inference.checks)
    if "passed" in {run.training.outcome, run.inference.outcome}:
        yield from (f"  {note}" for note in run.notes)


def _margins(checks: Sequence[CheckRecord]) -> list[str]:
    """A table with the columns that these checks have anything for."""
    if not checks:
        return []
    written = [figures(check) for check in checks]
    columns: dict[str, list[str]] = {"observed": [one.observed for one in written]}
    if any(check.minimum is not None or check.maximum is None for check in checks):
        columns["minimum"] = [one.minimum for one in written]
    if any(check.maximum is not None for check in checks):
        columns["maximum"] = [one.maximum for one in written]
    columns["margin"] = [one.margin for one in written]
    numbers = range(2, 2 + len(columns))
    if any(one.interval for one in written):
        columns[_interval_header(checks)] = [one.interval for one in written]
    names = [(check.metric, check.field) for check in checks]
    rows = [(*name, *cells) for name, *cells in zip(names, *columns.values(), strict=True)]
    return table(("metric", "field", *columns), rows, right=frozenset(numbers))


def _interval_header(checks: Sequence[CheckRecord]) -> str:
    return "95 % interval" if any(check.interval for check in checks) else ""
