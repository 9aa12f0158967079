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
    """The verdict, how it was found, the table of metrics, and the documents that got worse."""
    rows = [cells(change) for change in baseline.changes]
    lines = [heading(baseline), *(f"  {sentence}" for sentence in sources(baseline))]
    lines += table(HEADER, rows, right=RIGHT) if rows else []
    return [*lines, *(f"  {sentence}" for sentence in remarks(baseline))]


def heading(baseline: BaselineVerdict | BaselineRecord) -> str:
    """The verdict in one line."""
    warning = "warning: " if baseline.outcome == "undecided" and baseline.passed else ""
    return f"{warning}{verdict_sentence(baseline)}"


def verdict_sentence(baseline: BaselineVerdict | BaselineRecord) -> str:
    """The baseline and the verdict in one sentence, or the reason why nothing was compared."""
    if baseline.problem:
        return f"not compared with {baseline.name}: {baseline.problem}"
    return f"compared with {baseline.name}: {verdict_words(baseline)}"


def verdict_words(baseline: BaselineVerdict | BaselineRecord) -> str:
    """The verdict, for places that name the baseline in a heading."""
    if baseline.problem:
        return f"not compared: {baseline.problem}"
    allowed = f" (a drop of {number(baseline.max_drop)} is allowed)" if baseline.max_drop else ""
    return {"holds": "holds", "worse": "got worse", "undecided": "undecided"}[baseline.outcome] + allowed


def sources(baseline: BaselineVerdict | BaselineRecord) -> Iterator[str]:
    """One line on the newest run of the baseline, and on how the intervals were found; nothing if neither is known."""
    facts = []
    if baseline.started is not None:
        commit = f", commit {baseline.commit[:9]}" if baseline.commit else ""
        version = f", version {baseline.version}" if baseline.version else ""
        facts.append(f"newest passed run: {baseline.started:%Y-%m-%d %H:%M} UTC{commit}{version}")
    facts += _methods(baseline)
    if facts:
        yield "; ".join(facts)


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
        yield f"got worse: {worse_documents(baseline, _WORSE_SHOWN)}"


def worse_documents(baseline: BaselineVerdict | BaselineRecord, most: int) -> str:
    """The first documents that got worse, with their fields, and the number of the others."""
    named = [f"{one.document} ({', '.join(one.fields)})" for one in baseline.worse[:most]]
    more = f" and {baseline.worse_count - len(named)} more" if baseline.worse_count > len(named) else ""
    return f"{', '.join(named)}{more}"


def _methods(baseline: BaselineVerdict | BaselineRecord) -> Iterator[str]:
    """How each metric was compared; metrics are named only if they were compared in several ways."""
    by_method: dict[str, list[Change | ChangeRecord]] = {}
    for change in baseline.changes:
        by_method.setdefault(change.method, []).append(change)
    for method, changes in by_method.items():
        metrics = ", ".join(dict.fromkeys(change.metric for change in changes))
        how = {
            "documents": f"measured on the same {changes[0].count} documents or rows",
            "runs": f"held to the mean and the spread of {counted(baseline.runs, 'earlier run')}",
            "intervals": "compared by the 95 % intervals of both values",
            "values": "compared as two values, whose spread is unknown",
        }[method]
        yield f"{metrics} {how}" if len(by_method) > 1 else how


def _verdict(change: Change | ChangeRecord) -> str:
    if change.outcome != "undecided":
        return change.outcome
    if change.method == "documents" and change.count < FEWEST_ROWS:
        return f"undecided (at least {FEWEST_ROWS} are needed)"
    if change.needed is not None:
        return f"undecided (about {change.needed:,} would decide)"
    return "undecided (spread unknown)" if change.method == "values" else "undecided"
