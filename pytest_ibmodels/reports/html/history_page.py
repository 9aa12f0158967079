"""The page of the history: every series of a project over time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_ibmodels.history.levels import Shifts, shifts_of
from pytest_ibmodels.history.series import series_of
from pytest_ibmodels.reports.figures import counted, distinct_figures
from pytest_ibmodels.reports.html.formats import plain, typeset
from pytest_ibmodels.reports.html.history_plot import NARROW, WIDE, history_plot, sparkline
from pytest_ibmodels.reports.html.history_points import SeriesLine, levels_of, line_of
from pytest_ibmodels.reports.html.rendering import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from markupsafe import Markup

    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.history.series import Series
    from pytest_ibmodels.reports.html.history_points import CasePoint, Level

MOST_PLOTS = 16
"""Series that are drawn; the overview has all of them."""
_MOST_ROWS = 500


@dataclass(frozen=True)
class SeriesView:
    """A series as the page shows it.

    Attributes:
        anchor: id of its section; empty if it is not drawn.
        spark: its plot in the overview.
        wide, narrow: its plots; None if it is not drawn.
        drop: sentence on a newest value that is worse than earlier ones let expect; empty if there is none.
    """

    line: SeriesLine
    anchor: str
    spark: Markup
    wide: Markup | None = None
    narrow: Markup | None = None
    drop: str = ""

    @property
    def tone(self) -> str:
        return {True: "good", False: "bad", None: "quiet"}[self.line.is_reached]

    @property
    def state(self) -> tuple[str, str]:
        """Sign and words on the last value."""
        return {True: ("✓", "reached"), False: ("✕", "not reached"), None: ("○", "no bound")}[self.line.is_reached]

    @property
    def bound(self) -> str:
        minimum, maximum = self.line.last.minimum, self.line.last.maximum
        if minimum is not None and maximum is not None:
            return f"{plain(minimum)} to {plain(maximum)}"
        return plain(minimum) if maximum is None else f"at most {plain(maximum)}"

    @property
    def has_repeats(self) -> bool:
        return any(point.run.repeats > 1 for point in self.line.points)

    @property
    def has_interval(self) -> bool:
        return any(point.low is not None for point in self.line.points)

    @property
    def bounds(self) -> tuple[str, ...]:
        """Names of the bounds that any run has."""
        names = ("minimum", "maximum")
        return tuple(name for name in names if any(getattr(point, name) is not None for point in self.line.points))

    @property
    def rows(self) -> Sequence[CasePoint]:
        """Points of the table, newest first."""
        return self.line.points[::-1][:_MOST_ROWS]

    @property
    def shifts(self) -> Iterator[tuple[str, str]]:
        """Tone and sentence of each shift, newest first."""
        for before, level in reversed(list(pairwise(self.line.levels))):
            yield ("bad" if level.is_worse else "good"), _sentence(self.line, before, level)

    @property
    def description(self) -> str:
        """The plot in words, for screen readers."""
        key, line = self.line.key, self.line
        words = [f"{key.metric} of {key.field} over {len(line.points)} runs, the last {plain(line.last.value)}"]
        words += [sentence for _, sentence in self.shifts]
        return "; ".join(words)


def history_page(
    project: str, runs: Sequence[StoredRun], metric: str | None, min_shift: float, *, selection: str = ""
) -> tuple[str, str]:
    """Return the page of a project's runs, as one HTML document that refers to nothing outside itself.

    Args:
        project: name of the project.
        runs: the runs to show.
        metric: only this metric; None for all.
        min_shift: smallest shift that pytest warns of.
        selection: what was selected, in words.

    Returns:
        The page, and a sentence on what it shows.
    """
    lines = _lines(series for series in series_of(runs) if metric in {None, series.key.metric})
    shown = {run: point.run.started for line in lines for point in line.points for run in point.run_ids}
    drawn = _with_trends(lines[:MOST_PLOTS], runs, min_shift)
    views = [*drawn, *(SeriesView(line, "", sparkline(line)) for line in lines[MOST_PLOTS:])]
    left_out = len(lines) - len(drawn)
    html = render(
        "history.html",
        project=project,
        runs=len(shown),
        first=min(shown.values(), default=None),
        last=max(shown.values(), default=None),
        selection=selection,
        tone="bad" if any(view.tone == "bad" and not view.line.has_ended for view in views) else "good",
        views=views,
        drawn=drawn,
        left_out=left_out,
        most_rows=_MOST_ROWS,
        made=datetime.now(UTC),
        plugin=version("pytest-ibmodels"),
    )
    of_all = f"the worst {len(drawn)} of {len(lines)} series" if left_out else f"{len(lines)} series"
    return html, f"{of_all} of {counted(len(shown), 'run')}"


def _lines(found: Iterable[Series]) -> list[SeriesLine]:
    """Return the series, worst first."""
    all_series = list(found)
    newest: dict[tuple[str, ...], Series] = {}
    for series in all_series:
        other = newest.get(series.key[:4])
        if other is None or series.last.run.started >= other.last.run.started:
            newest[series.key[:4]] = series
    lines = [line_of(series, has_ended=newest[series.key[:4]] is not series) for series in all_series]
    return sorted(lines, key=lambda line: line.badness)


def _with_trends(lines: Sequence[SeriesLine], runs: Sequence[StoredRun], min_shift: float) -> list[SeriesView]:
    wanted = defaultdict(list)
    for line in lines:
        key = line.key
        wanted[key.test, key.environment, key.fingerprint, key.config_hash].append((key.metric, key.field))
    comparable = defaultdict(list)
    for run in runs:
        comparable[run.test, run.environment, run.fingerprint, run.config_hash].append(run)
    trends = {shared: shifts_of(comparable[shared], fields, min_shift) for shared, fields in wanted.items()}
    views = []
    for number, line in enumerate(lines, start=1):
        key = line.key
        trend = trends[key.test, key.environment, key.fingerprint, key.config_hash][key.metric, key.field]
        with_levels = replace(line, levels=levels_of(line, trend))
        views.append(
            SeriesView(
                with_levels,
                f"series-{number}",
                sparkline(line),
                history_plot(with_levels, WIDE, has_titles=True),
                history_plot(with_levels, NARROW, has_titles=False),
                "" if line.has_ended else _drop(trend),
            )
        )
    return views


def _sentence(line: SeriesLine, before: Level, level: Level) -> str:
    first = line.points[level.first - 1]
    old, new = map(typeset, distinct_figures([before.mean, level.mean]))
    since = f"{first.when}, commit {first.commit}" if first.commit else first.when
    how = "got worse and stays so" if level.last == len(line.points) else "got worse"
    text = f"{how if level.is_worse else 'got better'}: {old} before, {new} from run {level.first} on ({since})"
    return f"{text}; significant with run {level.shown_by.number}" if level.shown_by else text


def _drop(trend: Shifts) -> str:
    if trend.drop is None:
        return ""
    before, after = map(typeset, distinct_figures([trend.drop.before, trend.drop.after]))
    return f"the last value is worse than the earlier ones let expect: {after}, with a mean of {before} before"
