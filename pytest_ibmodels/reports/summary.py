"""The short summary after the last test: for what passed, each metric with its minimum and margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.tables import number, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_ibmodels.reports.record import CheckRecord, PhaseRecord


def write_summary(reporter: pytest.TerminalReporter, passed: list[PhaseRecord]) -> None:
    """Write a section on the phases that passed; nothing if none did."""
    if not passed:
        return
    reporter.section("model tests")
    for record in passed:
        for line in _lines(record):
            reporter.write_line(line)


def _lines(record: PhaseRecord) -> Iterator[str]:
    where = f"{record['test']} on {record['environment']}"
    seconds = record["seconds"].get(record["phase"], 0.0)
    if record["phase"] == "training":
        yield f"{where}: trained in {seconds:.1f} s (job {record['job_id']})"
        rows = [
            (check["metric"], check["field"], number(check["observed"]), number(check["minimum"]), _margin(check))
            for check in record["checks"]
        ]
        if rows:
            yield from table(("metric", "field", "observed", "minimum", "margin"), rows, right=frozenset({2, 3, 4}))
    else:
        documents = record["documents"]
        yield (
            f"{where}: served; {record['fields']} fields of {documents} document{'s' * (documents != 1)} "
            f"are as at training ({seconds:.1f} s)"
        )
        if not record["texts"]:
            yield "  note that the model found no field at all, neither now nor at training"
    yield from (f"  {note}" for note in record["notes"])


def _margin(check: CheckRecord) -> str:
    return f"{(check['observed'] or 0.0) - check['minimum']:+.4f}"
