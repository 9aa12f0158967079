"""A new run held to a baseline: earlier runs of the same model test on the same environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

Outcome = Literal["holds", "worse", "undecided"]
IfUndecided = Literal["pass", "fail", "skip"]
Method = Literal["documents", "runs", "intervals", "values"]
"""How the interval of a difference was found: from the same documents in both runs, from the spread of several earlier
runs, from the intervals of both values, or not at all."""

PREVIOUS = "the previous run"
"""Name of a baseline that is no branch and no tag."""


@dataclass(frozen=True)
class Change:
    """A metric of the new run and of its baseline.

    Attributes:
        new, old: the values; means if there are repeats, or several earlier runs.
        difference: new minus old.
        low, high: ends of the 90 % interval of the difference (two one-sided 95 % bounds); None if unknown.
        outcome: `holds` if the metric is certainly not worse by more than `max_drop`, `worse` if it certainly is.
        method: how the interval was found.
        count: number of documents or rows compared, or of earlier runs; 0 if unknown.
        needed: number of documents or rows at which the same difference would be decided; None if decided or unknown.
    """

    metric: str
    field: str
    new: float
    old: float
    difference: float
    low: float | None
    high: float | None
    outcome: Outcome
    method: Method
    count: int = 0
    needed: int | None = None


@dataclass(frozen=True)
class WorseDocument:
    """A document, or a row, with fields that the baseline predicted better."""

    document: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class BaselineVerdict:
    """Verdict on a new run against its baseline.

    Attributes:
        name: what the run is held to, in words: `branch main`, `tag v1.2`, or `PREVIOUS`.
        max_drop: largest allowed drop of a metric.
        if_undecided: outcome of the test if the verdict is undecided.
        changes: metrics that were compared.
        problem: why nothing could be compared, as a sentence; else empty.
        remarks: notes on the comparison, as sentences.
        started, commit, version: start, commit and package version of the newest run of the baseline; None or empty if
            there is none, or they are unknown.
        runs: number of cases of the baseline that were used.
        worse: first documents that got worse.
        worse_count: number of all documents that got worse.
    """

    name: str
    max_drop: float
    if_undecided: IfUndecided = "pass"
    changes: tuple[Change, ...] = ()
    problem: str = ""
    remarks: tuple[str, ...] = ()
    started: datetime | None = None
    commit: str = ""
    version: str = ""
    runs: int = 0
    worse: tuple[WorseDocument, ...] = ()
    worse_count: int = 0

    @property
    def outcome(self) -> Outcome:
        """`worse` if any metric is, else `undecided` if any metric is or nothing could be compared."""
        outcomes = {change.outcome for change in self.changes}
        if "worse" in outcomes:
            return "worse"
        return "undecided" if self.problem or not outcomes or "undecided" in outcomes else "holds"

    @property
    def passed(self) -> bool:
        """True if the outcome does not fail the test; a test that it skips has passed, too."""
        return self.outcome == "holds" or (self.outcome == "undecided" and self.if_undecided != "fail")

    @property
    def is_skip(self) -> bool:
        return self.outcome == "undecided" and self.if_undecided == "skip"

    @property
    def why_undecided(self) -> str:
        undecided = [change for change in self.changes if change.outcome == "undecided"]
        return self.problem or f"{len(undecided)} of {len(self.changes)} metrics with too few documents or runs"

    @property
    def what_failed(self) -> str:
        """The failure in words; empty if it passed."""
        if self.passed:
            return ""
        if self.outcome == "undecided":
            return f"not decided against {self.name}: {self.why_undecided}"
        worse = [change for change in self.changes if change.outcome == "worse"]
        return f"{len(worse)} of {len(self.changes)} metrics worse than {self.name}"
