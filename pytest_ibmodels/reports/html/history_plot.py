"""The plot of a series of the history, and its small one for the overview."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pytest_ibmodels.reports.html.plots import BAR, CONFIG, FAINT, INK, SOFT, label, svg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_ibmodels.reports.html.history_points import CasePoint, SeriesLine

WIDE, NARROW = (700, 240, 7), (340, 200, 3)
"""Width and height of the plot on a wide and on a narrow screen, and the most dates below it."""

_ACCENT, _GOOD, _BAD = (f"var(--{name})" for name in ("accent", "good", "bad"))
_VERDICTS = {"passed": ("circle", _GOOD), "failed": ("cross", _BAD), "error": ("triangle-up", SOFT)}
_SMALL_FROM = 60
"""Points from which on they are drawn small."""
_LEAST_SPAN = 0.02
"""Smallest difference that fills the height of a plot, so that noise does not look like a trend."""
_LABEL_PIXELS, _AXIS_PIXELS = 7, 50
"""Widths of a character of a version's label, and of the vertical axis."""
_FEW_DAYS = timedelta(days=3)
"""Shorter histories have the time of day at their axis."""
_ARIA = re.compile(r'<path aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="\w*"([^>]*)/>')


def history_plot(line: SeriesLine, screen: tuple[int, int, int], *, has_titles: bool) -> Markup:
    """Draw a series: values, intervals, bounds, levels, shifts and releases, by the order of the runs.

    Args:
        line: the series.
        screen: `WIDE` or `NARROW`.
        has_titles: a mouse over a point shows the run.
    """
    width, height, most_dates = screen
    low, high = _domain(line)
    x: dict[str, Any] = {
        "field": "x",
        "type": "quantitative",
        "scale": {"domain": [0.4, len(line.points) + 0.6], "nice": False},
    }
    x |= {"title": None, "axis": _dates(line.points, most_dates)}
    y: dict[str, Any] = {"field": "y", "type": "quantitative", "title": None, "axis": {"tickCount": 5}}
    y["scale"] = {"domain": [low, high], "nice": False, "zero": False}
    shapes, colours = zip(*_VERDICTS.values(), strict=True)
    size = 55 if len(line.points) < _SMALL_FROM else 18
    both = {"x": x, "y": y}
    points = {"shape": _by_verdict(shapes), "color": _by_verdict(colours)}
    if has_titles:
        points["description"] = {"field": "title"}
    values, releases, shifts = _values(line, has_titles=has_titles), _releases(line, width), _shifts(line)
    flat, steps = _bounds(line)
    layers = [
        *_layer(_intervals(line, low, high), "rule", both, {"y2": {"field": "y2"}}, color=BAR, opacity=0.6),
        *_layer(releases, "rule", {"x": x}, color=SOFT, strokeWidth=1, strokeDash=[1, 3]),
        *_layer(flat, "rule", both, {"x2": {"field": "x2"}}, **_DASHED),
        *_layer(steps, "rule", both, {"y2": {"field": "y2"}}, **_DASHED),
        *_layer(values, "line", both, color=BAR, strokeWidth=1.25),
        *_layer(_repeats(line), "point", both, filled=True, size=14, color=SOFT, opacity=0.45),
        *_layer(shifts, "rule", {"x": x}, {"color": _WORSE_OR_BETTER}, strokeWidth=1.5),
        *_layer(_levels(line), "rule", both, {"x2": {"field": "x2"}}, color=_ACCENT, strokeWidth=2),
        *_layer(
            _values(line, has_titles=has_titles),
            "point",
            both,
            points,
            filled=True,
            size=size,
            opacity=1,
            aria=has_titles,
        ),
        *_layer(shifts, "text", {"x": x}, {"text": {"field": "sign"}, "color": _WORSE_OR_BETTER}, **_AT_TOP),
        *_layer(releases, "text", {"x": x}, {"text": {"field": "right"}}, y=height - 3, align="left", dx=3, **_LABEL),
        *_layer(releases, "text", {"x": x}, {"text": {"field": "left"}}, y=height - 3, align="right", dx=-3, **_LABEL),
    ]
    config = CONFIG | {"aria": has_titles, "axis": CONFIG["axis"] | {"aria": False}}
    drawn = svg({"width": width, "height": height, "layer": layers, "config": config})
    # A browser shows the title of a shape, and not its label. The renderer escapes the texts that it draws.
    return Markup(_ARIA.sub(r"<path\2><title>\1</title></path>", drawn))  # noqa: S704


def sparkline(line: SeriesLine) -> Markup:
    """Draw the values of a series as a small line, with a dot at the last one."""
    known = [(point.number, point.value) for point in line.points if point.value is not None]
    width, height = 120, 28
    if not known:
        return Markup("")
    low, high = _span([value for _, value in known])
    across = (width - 8) / max(len(line.points) - 1, 1)
    places = [(4 + (number - 1) * across, 4 + (height - 8) * (high - value) / (high - low)) for number, value in known]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    tone = "bad" if line.is_reached is False else "accent"
    return Markup(
        '<svg class="spark" width="{w}" height="{h}" viewBox="0 0 {w} {h}" aria-hidden="true">'
        '<polyline points="{path}" fill="none" stroke="var(--bar)" stroke-width="1.5"/>'
        '<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="var(--{tone})"/></svg>'
    ).format(w=width, h=height, path=path, x=places[-1][0], y=places[-1][1], tone=tone)


_AT_TOP: dict[str, Any] = {"y": 2, "baseline": "top", "align": "left", "dx": 3, "fontSize": 13}
_LABEL: dict[str, Any] = {"baseline": "bottom", "fontSize": 12, "color": SOFT}
_DASHED: dict[str, Any] = {"color": INK, "strokeWidth": 1.25, "strokeDash": [4, 3]}
_WORSE_OR_BETTER = {"condition": {"test": "datum.is_worse", "value": _BAD}, "value": _GOOD}

_Rows = list[dict[str, Any]]


def _layer(
    values: _Rows, mark: str, encoding: dict[str, Any], more: dict[str, Any] | None = None, **style: Any
) -> list[dict[str, Any]]:
    """Return a layer of the plot; none without values."""
    if not values:
        return []
    whole = {"type": mark, "aria": False, **style}
    return [{"data": {"values": values}, "mark": whole, "encoding": encoding | (more or {})}]


def _by_verdict(values: Sequence[str]) -> dict[str, Any]:
    scale = {"domain": list(_VERDICTS), "range": list(values)}
    return {"field": "verdict", "type": "nominal", "scale": scale, "legend": None}


def _values(line: SeriesLine, *, has_titles: bool) -> _Rows:
    return [
        {"x": point.number, "y": point.value, "verdict": point.run.verdict}
        | ({"title": label(point.title, 300)} if has_titles else {})
        for point in line.points
    ]


def _repeats(line: SeriesLine) -> _Rows:
    return [{"x": point.number, "y": value} for point in line.points if point.run.repeats > 1 for value in point.values]


def _intervals(line: SeriesLine, low: float, high: float) -> _Rows:
    """Return the intervals, cut off at the ends of the plot."""
    return [
        {"x": point.number, "y": max(point.low, low), "y2": min(point.high, high)}
        for point in line.points
        if point.low is not None and point.high is not None
    ]


def _levels(line: SeriesLine) -> _Rows:
    return [{"x": level.first - 0.4, "x2": level.last + 0.4, "y": level.mean} for level in line.levels]


def _shifts(line: SeriesLine) -> _Rows:
    return [
        {"x": level.first - 0.5, "is_worse": level.is_worse, "sign": "▼" if level.is_worse else "▲"}
        for level in line.levels
        if level.is_worse is not None
    ]


def _releases(line: SeriesLine, width: int) -> _Rows:
    """Return the place of each release, and its version where there is room for the text, at the left or the right."""
    rows: _Rows = []
    free = 0.0
    inner = width - _AXIS_PIXELS
    for number, version in line.releases:
        text = label(version, 20)
        place, room = (number - 0.5) * inner / len(line.points), _LABEL_PIXELS * (len(text) + 1)
        row = {"x": number - 0.5, "right": "", "left": ""}
        if place >= free and place + room <= inner:
            row["right"] = text
            free = place + room
        elif place - room >= free:
            row["left"] = text
            free = place
        rows.append(row)
    return rows


def _bounds(line: SeriesLine) -> tuple[_Rows, _Rows]:
    """Return the horizontal and the vertical parts of the step lines of minimum and maximum."""
    bounds: tuple[Callable[[CasePoint], float | None], ...] = (_minimum, _maximum)
    flat: _Rows = []
    steps: _Rows = []
    for bound in bounds:
        before: float | None = None
        for value, points in groupby(line.points, key=bound):
            numbers = [point.number for point in points]
            first, last = numbers[0], numbers[-1]
            if value is not None:
                flat.append({"x": first - 0.5, "x2": last + 0.5, "y": value})
                if before is not None:
                    steps.append({"x": first - 0.5, "y": before, "y2": value})
            before = value
    return flat, steps


def _minimum(point: CasePoint) -> float | None:
    return point.minimum


def _maximum(point: CasePoint) -> float | None:
    return point.maximum


def _dates(points: Sequence[CasePoint], most: int) -> dict[str, Any]:
    """Return the axis of the runs, with the dates of the last one and of some before, evenly spaced."""
    shown = points[:: -max(1, -(-len(points) // most))][::-1]
    # The dates are the only texts that are part of an expression; they have no quotes.
    is_short = points[-1].run.started - points[0].run.started < _FEW_DAYS
    dates = ",".join(f"'{point.run.started:{'%m-%d %H:%M' if is_short else '%Y-%m-%d'}}'" for point in shown)
    numbers = [point.number for point in shown]
    expression = f"[{dates}][indexof({numbers}, datum.value)]"
    return {
        "values": numbers,
        "labelExpr": expression,
        "labelFlush": True,
        "labelOverlap": "greedy",
        "grid": False,
        "domain": True,
        "domainColor": FAINT,
    }


def _domain(line: SeriesLine) -> list[float]:
    """Return the ends of the vertical axis: all values and bounds, and of the intervals what is near."""
    values = [value for point in line.points for value in point.values]
    bounds = [bound for point in line.points for bound in (point.minimum, point.maximum) if bound is not None]
    low, high = _span(values + bounds or [0.0, 1.0])
    reach = (high - low) / 2
    lows = [max(low - reach, point.low) for point in line.points if point.low is not None]
    highs = [min(high + reach, point.high) for point in line.points if point.high is not None]
    low, high = min([low, *lows]), max([high, *highs])
    return [low - (high - low) * 0.12, high + (high - low) * 0.1]  # room for versions below, and for signs above


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest value, or two ends around them if they differ little."""
    low, high = min(values), max(values)
    missing = _LEAST_SPAN * max(1.0, abs(high)) - (high - low)
    return (low - missing / 2, high + missing / 2) if missing > 0 else (low, high)
