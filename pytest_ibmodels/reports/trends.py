"""Sentences on metrics that got worse over several runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import distinct_figures
from pytest_ibmodels.verdicts.metrics import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.reports.record import RunRecord, TrendRecord
    from pytest_ibmodels.verdicts.trends import Trend


def trend_lines(run: RunRecord) -> Iterator[str]:
    """One line for each trend of a run."""
    for trend in run.training.trends:
        yield f"trend: {run.title}: {trend_sentence(trend)}"


def trend_sentence(trend: Trend | TrendRecord) -> str:
    """Sentence on a trend: the metric, by how much it got worse, and since when."""
    before, after = distinct_figures([trend.before, trend.after])
    name = trend.metric if trend.field == ALL else f"{trend.metric} of {trend.field}"
    if not trend.is_persistent:
        return f"{name} is worse than {trend.runs - 1} earlier runs let expect: {after}, with a mean of {before} before"
    when = f"{trend.started:%Y-%m-%d %H:%M} UTC" + (f", commit {trend.commit[:9]}" if trend.commit else "")
    return f"{name} got worse and stays so: {before} before, {after} since run {trend.first} of {trend.runs} ({when})"
