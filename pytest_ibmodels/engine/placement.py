"""The machine that a training runs on, and its attempts, as an environment reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.reported import count

if TYPE_CHECKING:
    from pytest_ibmodels.instabase.wire import JobStatus

_LONGEST_NAME, _LONGEST_CLAUSE, _MOST_LOST = 200, 500, 20
"""Maximums in characters and clauses, so that a report does not grow with what an environment reports."""


@dataclass(frozen=True)
class Placement:
    """Placement of a training job.

    Attributes:
        node: name of the machine; empty if it is not reported.
        attempt: number of starts, from 1; None if it is not reported.
        lost: a clause for each attempt that was lost, such as ``node a was lost``.
    """

    node: str = ""
    attempt: int | None = None
    lost: tuple[str, ...] = ()

    @property
    def was_started_again(self) -> bool:
        return (self.attempt or 1) > 1


NOT_REPORTED = Placement()


def reported_placement(status: JobStatus) -> Placement:
    """Read the placement that a job's status reports; values of another form count as not reported."""
    node, lost = status.node, status.attempts_lost
    clauses = [text for text in lost if isinstance(text, str)] if isinstance(lost, list) else []
    return Placement(
        node=node[:_LONGEST_NAME] if isinstance(node, str) else "",
        attempt=count(status.attempt) or None,
        lost=tuple(text[:_LONGEST_CLAUSE].strip().removesuffix(".") for text in clauses[:_MOST_LOST]),
    )
