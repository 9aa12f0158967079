"""A run against its baseline, with its numbers, words and plots as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.baselines import sources, verdict_words
from pytest_ibmodels.reports.html import change_plot
from pytest_ibmodels.reports.html.change_view import SIGNS, ChangeView, change_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from pytest_ibmodels.reports.record import BaselineRecord

_TONES = {"holds": "good", "worse": "bad", "undecided": "quiet"}


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
        return SIGNS[self.record.outcome]

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
        views = tuple(change_view(change) for change in baseline.changes if change.metric == metric)
        yield MetricChanges(metric, views, change_plot.changes(views, baseline.max_drop))
