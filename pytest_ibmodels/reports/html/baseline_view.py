"""A run against its baseline, with its numbers, words and plots as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.baselines import cells, sources, verdict_words
from pytest_ibmodels.reports.html import change_plot
from pytest_ibmodels.reports.html.formats import typeset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from pytest_ibmodels.reports.record import BaselineRecord, ChangeRecord

_SIGNS = {"holds": "✓", "worse": "✕", "undecided": "?"}
_TONES = {"holds": "good", "worse": "bad", "undecided": "quiet"}


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
        return _SIGNS[self.record.outcome]

    @property
    def description(self) -> str:
        """The change in words."""
        return f"{self.record.field} {self.difference} ({self.interval}), {self.verdict}"


@dataclass(frozen=True)
class MetricChanges:
    """Changes of one metric, and their plot."""

    name: str
    changes: tuple[ChangeView, ...]
    plot: Markup

    @property
    def description(self) -> str:
        """The plot in words, for screen readers."""
        listed = "; ".join(change.description for change in self.changes)
        return f"differences of {self.name} with their 90 % intervals: {listed}"


@dataclass(frozen=True)
class BaselineView:
    """The verdict of a run against its baseline."""

    record: BaselineRecord
    metrics: tuple[MetricChanges, ...]

    @property
    def verdict(self) -> str:
        return verdict_words(self.record)

    @property
    def tone(self) -> str:
        return "bad" if not self.record.passed else _TONES[self.record.outcome]

    @property
    def sign(self) -> str:
        return _SIGNS[self.record.outcome]

    @property
    def sentences(self) -> tuple[str, ...]:
        return (*sources(self.record), *self.record.remarks)

    @property
    def more_worse(self) -> int:
        """Number of documents that got worse beyond those of the record."""
        return self.record.worse_count - len(self.record.worse)


def baseline_view(baseline: BaselineRecord | None) -> BaselineView | None:
    """View of a baseline; None if the model test has none."""
    return None if baseline is None else BaselineView(baseline, tuple(_metrics(baseline)))


def _metrics(baseline: BaselineRecord) -> Iterator[MetricChanges]:
    for metric in dict.fromkeys(change.metric for change in baseline.changes):
        views = tuple(_change(change) for change in baseline.changes if change.metric == metric)
        yield MetricChanges(metric, views, change_plot.changes(views, baseline.max_drop))


def _change(change: ChangeRecord) -> ChangeView:
    _metric, _field, new, old, difference, interval, verdict = cells(change)
    return ChangeView(change, typeset(new), typeset(old), typeset(difference), typeset(interval), verdict)
