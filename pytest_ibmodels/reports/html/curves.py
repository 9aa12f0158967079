"""From the history of a training to the panels that show it: values in, values out, nothing drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.html.formats import plain

if TYPE_CHECKING:
    from pytest_ibmodels.reports.record import CheckRecord, HistoryRecord

MOST_LINES = 6
"""In one panel: as many as can be told apart by colour and by shape."""

_MOST_ROWS = 40

_X = {"epoch": 1.0, "step": 1.0, "progress": 100.0}
"""What a horizontal axis may show, the best first, and its factor: progress is shown in per cent."""

_Value = Callable[["HistoryRecord"], float | None]


@dataclass(frozen=True)
class Line:
    """A curve: its points as (x, y), in the order of x, with one y for an x."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def summary(self) -> str:
        (_, first), (_, last) = self.points[0], self.points[-1]
        return f"{self.name} from {plain(first)} to {plain(last)}"


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        x: what its horizontal axis shows.
        lines: those that are drawn, at most `MOST_LINES`; ``more``: those that only the table has.
        bounds: what the drawn fields are held to, without repetition.
        is_loss: whether it shows the loss, which has neither fields nor a bound.
    """

    title: str
    x: str
    lines: tuple[Line, ...]
    more: tuple[Line, ...] = ()
    bounds: tuple[float, ...] = ()
    is_loss: bool = False

    @property
    def description(self) -> str:
        """What a person who does not see the plot should know."""
        return f"{self.title} by {self.x}: " + "; ".join(line.summary for line in self.lines)

    @property
    def header(self) -> tuple[str, ...]:
        return (self.x, *(line.name for line in (*self.lines, *self.more)))

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The plot as a table: of long curves some points, among them the first and the last."""
        lines = [dict(line.points) for line in (*self.lines, *self.more)]
        places = sorted({x for line in lines for x in line})
        stride = -(-len(places) // _MOST_ROWS)
        kept = [x for index, x in enumerate(places) if index % stride == 0 or index == len(places) - 1]
        return tuple((f"{x:g}", *(plain(line[x]) if x in line else "" for line in lines)) for x in kept)


@dataclass(frozen=True)
class Curves:
    """The curves of a run.

    Attributes:
        fields: names of the lines, by the index of their style, which is the same in all panels of metrics.
        left_out: how many fields no plot shows.
    """

    panels: tuple[Panel, ...]
    fields: tuple[str, ...] = ()
    left_out: int = 0


def curves(history: Sequence[HistoryRecord], checks: Sequence[CheckRecord]) -> Curves:
    """Arrange what a training reported: the loss, then each metric with a line for each field.

    Fields and metrics that have a bound come first. What has less than two points is no curve, and is left out.
    """
    reported = [(metric, field) for point in history for metric, fields in point.metrics.items() for field in fields]
    held = [(check.metric, check.field) for check in checks]
    known = set(reported)
    ordered = [pair for pair in dict.fromkeys([*held, *reported]) if pair in known]
    fields = tuple(dict.fromkeys(field for _, field in ordered))
    panels = [_panel("loss", ("loss",), [lambda point: point.loss], history, is_loss=True)]
    for metric in dict.fromkeys(metric for metric, _ in ordered):
        mine = [check for check in checks if check.metric == metric and check.field in fields[:MOST_LINES]]
        bounds = {bound for check in mine for bound in (check.minimum, check.maximum) if bound is not None}
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
        places = [getattr(point, name) for point in points]
        if None not in places and len(set(places)) > 1:
            return name
    return None


def _points(points: Sequence[HistoryRecord], x: str, value: _Value) -> tuple[tuple[float, float], ...]:
    # Of two values at one place, as of the last epoch and of the end, the later one holds.
    found = {getattr(point, x) * _X[x]: y for point in points if (y := value(point)) is not None}
    return tuple(sorted(found.items()))
