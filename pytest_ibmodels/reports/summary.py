"""Summary in the terminal: metrics with their margins of each phase that passed, environments side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.baselines import baseline_lines
from pytest_ibmodels.reports.comparison import side_by_side
from pytest_ibmodels.reports.figures import counted, distinct_figures, figures
from pytest_ibmodels.reports.repeats import jobs_line, trained_times
from pytest_ibmodels.reports.tables import harmless, table
from pytest_ibmodels.reports.versus import measured_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from pytest_ibmodels.reports.comparison import SideBySideRow
    from pytest_ibmodels.reports.record import CheckRecord, RunRecord


def write_summary(reporter: pytest.TerminalReporter, runs: Sequence[RunRecord]) -> None:
    """Write a section on the phases that passed, and one with environments side by side; omit what is empty."""
    lines = [line for run in runs for line in _lines(run)]
    if lines:
        reporter.section("model tests")
        for line in lines:
            reporter.write_line(harmless(line))
    compared = side_by_side(runs)
    if compared.rows:
        reporter.section("environments side by side")
        rows = [(row.test, row.field, row.metric, *_cells(row)) for row in compared.rows]
        values = range(3, 3 + len(compared.environments))
        header = ("model test", "field", "metric", *(f"{name}  " for name in compared.environments))
        for line in table(header, rows, right=frozenset(values)):
            reporter.write_line(line)
        if any(row.worst and not row.low_is_better for row in compared.rows):
            reporter.write_line("  < is the lowest of its row")
        if any(row.worst and row.low_is_better for row in compared.rows):
            reporter.write_line("  > is the highest of its row, which has a maximum")


def _cells(row: SideBySideRow) -> Iterator[str]:
    for index, text in enumerate(distinct_figures(row.observed)):
        yield f"{text} {row.sign if index in row.worst else ' '}"


def _lines(run: RunRecord) -> Iterator[str]:
    if run.training.outcome == "passed" and run.job_id is None:
        yield f"{run.title}: the training item passed without starting a job"
    elif run.training.outcome == "passed":
        job = f"re-attached to job {run.job_id}" if run.reattached else f"job {run.job_id}"
        seconds = run.seconds.training or 0.0
        yield f"{run.title}: {trained_times(run.repeats) if run.repeats else f'trained in {seconds:.1f} s ({job})'}"
        yield from [f"  {jobs_line(run.repeats)}"] if run.repeats else []
        yield from _margins(run.training.checks)
        if run.training.baseline is not None:
            yield from (f"  {line}" for line in baseline_lines(run.training.baseline))
        if run.training.test_part is not None:
            yield f"  {measured_on(run.training.test_part, run.training.comparison)}"
    if run.inference.outcome == "passed" and not run.inference.documents:
        yield f"{run.title}: the inference item passed without serving a model"
    elif run.inference.outcome == "passed":
        fields, documents = run.inference.fields, len(run.inference.documents)
        yield (
            f"{run.title}: served; {counted(fields, 'field')} of {counted(documents, 'document')} "
            f"{'matches' if fields == 1 else 'match'} training ({run.seconds.inference or 0.0:.1f} s)"
        )
        if not run.inference.texts:
            yield "  note: the model found no field at all, neither at inference nor at training"
        yield from _margins(run.inference.checks)
    if "passed" in {run.training.outcome, run.inference.outcome}:
        yield from (f"  {note}" for note in run.notes)


def _margins(checks: Sequence[CheckRecord]) -> list[str]:
    """Table of checks, without the columns that would be empty."""
    if not checks:
        return []
    numbers = [figures(check) for check in checks]
    columns: dict[str, list[str]] = {"observed": [one.observed for one in numbers]}
    if any(check.minimum is not None or check.maximum is None for check in checks):
        columns["minimum"] = [one.minimum for one in numbers]
    if any(check.maximum is not None for check in checks):
        columns["maximum"] = [one.maximum for one in numbers]
    columns["margin"] = [one.margin for one in numbers]
    right = frozenset(range(2, 2 + len(columns)))
    if any(one.interval for one in numbers):
        columns["95 % interval" if any(check.interval for check in checks) else ""] = [one.interval for one in numbers]
    if any(check.repeats for check in checks):
        columns["repeats"] = [one.repeats for one in numbers]
    names = [(check.metric, check.field) for check in checks]
    rows = [(*name, *cells) for name, *cells in zip(names, *columns.values(), strict=True)]
    return table(("metric", "field", *columns), rows, right=right)
