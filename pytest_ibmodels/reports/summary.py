"""The short summary after the last test: each metric with its margin for what passed, environments side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.comparison import compare
from pytest_ibmodels.reports.tables import number, table

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
            reporter.write_line(line)
    comparison = compare(runs)
    if comparison.rows:
        reporter.section("environments side by side")
        rows = [(row.test, row.field, row.metric, *_cells(row)) for row in comparison.rows]
        values = range(3, 3 + len(comparison.environments))
        header = ("model test", "field", "metric", *(f"{name}  " for name in comparison.environments))
        for line in table(header, rows, right=frozenset(values)):
            reporter.write_line(line)
        if any(row.lowest for row in comparison.rows):
            reporter.write_line("  < is the lowest of its row")


def _cells(row: ComparisonRow) -> Iterator[str]:
    for index, value in enumerate(row.observed):
        yield f"{number(value)} {'<' if index in row.lowest else ' '}"


def _lines(run: RunRecord) -> Iterator[str]:
    if run.training.outcome == "passed":
        job = f"re-attached to job {run.job_id}" if run.reattached else f"job {run.job_id}"
        yield f"{run.title}: trained in {run.seconds.training or 0.0:.1f} s ({job})"
        yield from _margins(run.training.checks)
    if run.inference.outcome == "passed":
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
    rows = [
        (check.metric, check.field, number(check.observed), number(check.minimum), f"{check.margin or 0.0:+.4f}")
        for check in checks
    ]
    return table(("metric", "field", "observed", "minimum", "margin"), rows, right=frozenset({2, 3, 4})) if rows else []
