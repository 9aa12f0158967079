"""The training curves of a run, arranged in panels; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.html.formats import plain

if TYPE_CHECKING:
    from pytest_ibmodels.reports.record import CheckRecord, HistoryRecord

MOST_LINES = 6
"""Lines of a panel that differ both in colour and in shape."""

_MOST_ROWS = 40

_X = {"epoch": 1.0, "step": 1.0, "progress": 100.0}
"""Values for the horizontal axis, the preferred one first, and their factors: progress is shown in percent."""

_Value = Callable[["HistoryRecord"], float | None]


@dataclass(frozen=True)
class Line:
    """A curve: its points as (x, y), in the order of x, with one y per x."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def summary(self) -> str:
        (_, first), (_, last) = self.points[0], self.points[-1]
        return f"{self.name} from {plain(first)} to {plain(last)}"


@dataclass(frozen=True)
class Panel:
    """A plot.

    Attributes:
        x: name of the horizontal axis.
        lines: lines in the plot, at most `MOST_LINES`; ``more`` holds those that only the table has.
        bounds: distinct bounds of the fields in the plot.
        is_loss: the plot shows the loss, which has neither fields nor a bound.
    """

    title: str
    x: str
    lines: tuple[Line, ...]
    more: tuple[Line, ...] = ()
    bounds: tuple[float, ...] = ()
    is_loss: bool = False

    @property
    def description(self) -> str:
        """The plot in words, for screen readers."""
        return f"{self.title} by {self.x}: " + "; ".join(line.summary for line in self.lines)

    @property
    def header(self) -> tuple[str, ...]:
        return (self.x, *(line.name for line in (*self.lines, *self.more)))

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The plot as a table. Long curves are thinned out; their first and last point stay."""
        lines = [dict(line.points) for line in (*self.lines, *self.more)]
        all_x = sorted({x for line in lines for x in line})
        stride = -(-len(all_x) // _MOST_ROWS)
        kept = [x for index, x in enumerate(all_x) if index % stride == 0 or index == len(all_x) - 1]
        return tuple((f"{x:g}", *(plain(line[x]) if x in line else "" for line in lines)) for x in kept)


@dataclass(frozen=True)
class Curves:
    """The curves of a run.

    Attributes:
        fields: names of the lines; a line's index is that of its style, in all panels of metrics.
        left_out: number of fields that are in no plot.
    """

    panels: tuple[Panel, ...]
    fields: tuple[str, ...] = ()
    left_out: int = 0


def curves(history: Sequence[HistoryRecord], checks: Sequence[CheckRecord]) -> Curves:
    """Arrange the history of a training in panels: the loss, then each metric with a line for each field.

    Fields and metrics with a bound come first. Panels with fewer than two points are left out.
    """
    reported = [(metric, field) for point in history for metric, fields in point.metrics.items() for field in fields]
    held = [(check.metric, check.field) for check in checks]
    known = set(reported)
    ordered = [pair for pair in dict.fromkeys([*held, *reported]) if pair in known]
    fields = tuple(dict.fromkeys(field for _, field in ordered))
    panels = [_panel("loss", ("loss",), [lambda point: point.loss], history, is_loss=True)]
    for metric in dict.fromkeys(metric for metric, _ in ordered):
        bounded = [check for check in checks if check.metric == metric and check.field in fields[:MOST_LINES]]
        bounds = {bound for check in bounded for bound in (check.minimum, check.maximum) if bound is not None}
        panels.append(_panel(metric, fields, [_of(metric, field) for field in fields], history, tuple(sorted(bounds))))
    drawn = tuple(panel for panel in panels if panel is not None)
    if all(panel.is_loss for panel in drawn):
        return Curves(drawn)
    return Curves(drawn, fields[:MOST_LINES], max(0, len(fields) - MOST_LINES))


def _of(metric: str, field: str) -> _Value:
    return lambda point: point.metrics.get(metric, {}).get(field)


def _panel(
    title: str,
    names: Sequence[str],
    values: Sequence[_Value],
    history: Sequence[HistoryRecord],
    bounds: tuple[float, ...] = (),
    *,
    is_loss: bool = False,
) -> Panel | None:
    points = [point for point in history if any(value(point) is not None for value in values)]
    x = _axis(points)
    if x is None:
        return None
    lines = tuple(Line(name, _points(points, x, value)) for name, value in zip(names, values, strict=True))
    drawn = tuple(line for line in lines[:MOST_LINES] if line.points)
    more = tuple(line for line in lines[MOST_LINES:] if line.points)
    return Panel(title, x, drawn, more, bounds, is_loss) if drawn else None


def _axis(points: Sequence[HistoryRecord]) -> str | None:
    for name in _X:
        values = [getattr(point, name) for point in points]
        if None not in values and len(set(values)) > 1:
            return name
    return None


def _points(points: Sequence[HistoryRecord], x: str, value: _Value) -> tuple[tuple[float, float], ...]:
    # The later one of two values at the same x replaces the earlier: those of the last epoch and of the end.
    found = {getattr(point, x) * _X[x]: y for point in points if (y := value(point)) is not None}
    return tuple(sorted(found.items()))
