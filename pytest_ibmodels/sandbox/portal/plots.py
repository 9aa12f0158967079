"""Plots as SVG, small enough to be drawn anew with every report of a job."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from pytest_ibmodels.sandbox.portal.formats import cut, number
from pytest_ibmodels.sandbox.portal.reported import Panel

_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 10, 36
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def plot(panel: Panel) -> Markup:
    """Draw a panel; the colours are those of the style sheet, in light and dark."""
    points = [point for curve in panel.curves for point in curve.points]
    x_low, x_high = _span([x for x, _ in points])
    y_low, y_high = _span([y for _, y in points])
    y_ticks = _ticks(y_low, y_high)
    y_low, y_high = min(y_low, y_ticks[0]), max(y_high, y_ticks[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        up = (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across, 1), round(_HEIGHT - _BOTTOM - up, 1)

    parts = [_grid_line(at(x_low, tick)[1], number(tick)) for tick in y_ticks]
    parts += [_x_label(at(tick, y_low)[0], number(tick)) for tick in _ticks(x_low, x_high) if x_low <= tick <= x_high]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        middle, _HEIGHT - 4, panel.x
    ))  # fmt: skip
    for position, curve in enumerate(panel.curves, start=1):
        line = " ".join(f"{x},{y}" for x, y in (at(x, y) for x, y in curve.points))
        parts.append(Markup('<polyline class="curve line-{}" points="{}"/>').format(position, line))
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, _description(panel), Markup("").join(parts)
    )


def _description(panel: Panel) -> str:
    curves = (
        f"{cut(curve.name, 60)} from {number(curve.points[0][1])} to {number(curve.points[-1][1])}"
        for curve in panel.curves
    )
    return f"{cut(panel.title, 60)} by {panel.x}: {'; '.join(curves)}"


def _grid_line(y: float, text: str) -> Markup:
    return Markup(
        '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text x="{3}" y="{4}" text-anchor="end">{5}</text>'
    ).format(_LEFT, _WIDTH - _RIGHT, y, _LEFT - 6, y + 4, escape(text))


def _x_label(x: float, text: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x, _HEIGHT - _BOTTOM + 16, text)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest value, apart even if all are equal."""
    low, high = min(values), max(values)
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    margin = abs(low) * 0.1 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers from ``low`` to ``high``."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(step for step in _STEPS if step * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    found = [index * step for index in range(first, first + 8) if index * step <= high + step * 1e-9]
    return [round(tick, 12) if abs(tick) < 1e6 else tick for tick in found] or [low, high]
