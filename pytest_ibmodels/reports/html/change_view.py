"""A metric of a run and of its baseline, with its numbers and words as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.baselines import cells
from pytest_ibmodels.reports.html.formats import typeset

if TYPE_CHECKING:
    from pytest_ibmodels.reports.record import ChangeRecord

SIGNS = {"holds": "✓", "worse": "✕", "undecided": "?"}


@dataclass(frozen=True)
class ChangeView:
    """A metric of the run and of its baseline, with its numbers as text."""

    record: ChangeRecord
    new: str
    old: str
    difference: str
    interval: str
    verdict: str

    @property
    def sign(self) -> str:
        return SIGNS[self.record.outcome]

    @property
    def description(self) -> str:
        """The change in words."""
        return f"{self.record.field} {self.difference} ({self.interval}), {self.verdict}"


def change_view(change: ChangeRecord) -> ChangeView:
    _metric, _field, new, old, difference, interval, verdict = cells(change)
    return ChangeView(change, typeset(new), typeset(old), typeset(difference), typeset(interval), verdict)
