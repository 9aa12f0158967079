"""The verdict of a run against its baseline, as sentences and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import counted, distinct_figures, number, signed
from pytest_ibmodels.reports.tables import table
from pytest_ibmodels.verdicts.better import FEWEST_ROWS
from pytest_ibmodels.verdicts.metrics import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.reports.record import BaselineRecord, ChangeRecord
    from pytest_ibmodels.verdicts.baseline import BaselineVerdict, Change

HEADER = ("metric", "field", "new", "baseline", "difference", "90 % interval", "verdict")
RIGHT = frozenset({2, 3, 4})
"""Columns with numbers."""

_WORSE_SHOWN = 10


def baseline_lines(baseline: BaselineVerdict | BaselineRecord) -> list[str]:
    """The verdict, the table of metrics, and the documents that got worse."""
    rows = [cells(change) for change in baseline.changes]
    lines = [heading(baseline), *(table(HEADER, rows, right=RIGHT) if rows else [])]
    return [*lines, *(f"  {sentence}" for sentence in remarks(baseline))]


def heading(baseline: BaselineVerdict | BaselineRecord) -> str:
    """The verdict in one line."""
    warning = "warning: " if baseline.outcome == "undecided" and baseline.passed else ""
    if baseline.problem:
        return f"{warning}baseline {baseline.name}: nothing to compare with: {baseline.problem}"
    verdict = {"holds": "holds", "worse": "got worse", "undecided": "undecided"}[baseline.outcome]
    return f"{warning}baseline {baseline.name}: {verdict}; {'; '.join(_parts(baseline))}"


def cells(change: Change | ChangeRecord) -> tuple[str, ...]:
    """A row of the table, for `HEADER`."""
    new, old = distinct_figures([change.new, change.old])
    interval = "-" if change.low is None or change.high is None else f"{signed(change.low)} to {signed(change.high)}"
    field = "" if change.field == ALL else change.field
    return (change.metric, field, new, old, signed(change.difference), interval, _verdict(change))


def remarks(baseline: BaselineVerdict | BaselineRecord) -> Iterator[str]:
    """Sentences on how the metrics were compared, and on the documents that got worse."""
    yield from baseline.remarks
    if baseline.worse_count:
        named = [f"{one.document} ({', '.join(one.fields)})" for one in baseline.worse[:_WORSE_SHOWN]]
        more = f" and {baseline.worse_count - len(named)} more" if baseline.worse_count > len(named) else ""
        yield f"got worse: {', '.join(named)}{more}"


def _parts(baseline: BaselineVerdict | BaselineRecord) -> Iterator[str]:
    if baseline.started is not None:
        version = f", version {baseline.version}" if baseline.version else ""
        commit = f", commit {baseline.commit[:9]}" if baseline.commit else ""
        yield f"its newest passed run is of {baseline.started:%Y-%m-%d %H:%M} UTC{commit}{version}"
    methods = {change.method for change in baseline.changes}
    if methods == {"documents"}:
        yield f"compared on the same {baseline.changes[0].count} documents or rows"
    elif "runs" in methods:
        yield f"compared with the mean and the spread of {counted(baseline.runs, 'earlier run')}"
    if baseline.max_drop:
        yield f"a drop of {number(baseline.max_drop)} is allowed"


def _verdict(change: Change | ChangeRecord) -> str:
    if change.outcome != "undecided":
        return change.outcome
    if change.method == "documents" and change.count < FEWEST_ROWS:
        return f"undecided (at least {FEWEST_ROWS} are needed)"
    if change.needed is not None:
        return f"undecided (about {change.needed:,} would decide)"
    return "undecided (spread unknown)" if change.method == "values" else "undecided"
