"""Table of `ibmodels sweep`, and the lines about uploads that were left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.engine.sweep import SweepResult
    from pytest_ibmodels.journal.store import Entry


def sweep_lines(outcomes: Sequence[SweepResult]) -> list[str]:
    """Table of sweep results. The reason, which may be long, comes last."""
    rows = [
        (
            one.entry.environment,
            one.entry.kind,
            _name(one.entry),
            one.entry.made,
            f"{one.status}: {one.reason}".removesuffix(": "),
        )
        for one in outcomes
    ]
    return table(("environment", "kind", "name", "made", "outcome"), rows, indent="")


def left_line(one: SweepResult) -> str:
    """Line about an upload, job or model that could not be removed."""
    entry = one.entry
    thing = f"{entry.kind} {_name(entry)} on {entry.environment}"
    return f"left behind: {thing}: {one.reason}; `ibmodels sweep` retries"


def _name(entry: Entry) -> str:
    if entry.name or entry.job is None:
        return entry.name
    return f"(a training of {entry.job.test}, whose id was never read)"
