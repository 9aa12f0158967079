"""The plots: Vega-Lite, drawn as SVG by vl-convert, in colours that the page's style sets (light, dark, print).

All plots have the width of a narrow screen and are never enlarged; the page arranges them in columns. Texts from
environments enter the plots as data only, never as a name that Vega-Lite would parse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import vl_convert
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.reports.html.check_view import CheckView
    from pytest_ibmodels.reports.html.curves import Panel
    from pytest_ibmodels.reports.record import CheckRecord

_VEGA_LITE = "6.4"
_UNNAMED = re.compile(r' role="graphics-\w+" aria-roledescription="[\w -]* container"')
"""Roles that groups of marks have even without labels; a screen reader would stop at each and find no name."""

WIDTH = 340
_ROW = 42
_CURVE_HEIGHT = 160
_DIGIT, _MARGIN_ROOM, _TEXT_ROOM = 8, 80, 100
"""Pixels: width of a digit, and least widths of the columns of margins and of observed values."""
_ROOM, _LEAST_ROOM = 0.3, 0.03
"""Free share at both ends of an axis: of the distance between its values, and at least of the largest one."""
_MOST_SYMBOLS = 25
"""Most points of a line that is drawn with symbols."""

SYMBOLS = {"circle": "●", "square": "■", "triangle-up": "▲", "diamond": "◆", "triangle-down": "▼", "cross": "✚"}
"""Vega's name → character in the page's legend, in the order of the lines."""
_DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4], [12, 3]]
_COLOURS = [f"var(--line-{index})" for index in range(1, len(SYMBOLS) + 1)]
INK, SOFT, FAINT, TRACK, BAR = (f"var(--{name})" for name in ("ink", "soft", "faint", "track", "bar"))

CONFIG: dict[str, Any] = {
    "aria": False,  # the page has a description and a table of each plot
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT,
        "labelFontSize": 12,
        "titleColor": SOFT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "gridColor": FAINT,
    },
}


def margins(checks: Sequence[CheckView]) -> Markup:
    """Draw the values of one metric as bars against their bounds, a row per check."""
    records = [check.record for check in checks]
    values = [value for one in records for value in (one.minimum, one.maximum, one.observed, *(one.interval or ()))]
    low, high = axis_ends(values)
    rows = [_row_of(row, check) for row, check in enumerate(checks)]
    room = max(_MARGIN_ROOM, _DIGIT * max(len(row["margin"]) for row in rows))
    left = WIDTH - room - max(_TEXT_ROOM, 24 + _DIGIT * max(len(row["text"]) for row in rows))
    observed = {
        "field": "observed",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [low, high], "nice": False, "zero": False},
        "axis": {"tickCount": 5, "grid": False},
    }
    passed = _by_outcome("var(--good)", "var(--bad)")
    bar = {"type": "bar", "height": 10, "yOffset": 9}
    text = {"type": "text", "baseline": "middle", "yOffset": -10, "fontSize": 12, "color": INK}
    number = [{"filter": "isValid(datum.observed)"}]
    layers: list[dict[str, Any]] = [
        {
            "mark": bar | {"color": TRACK},
            "encoding": {"x": {name: value for name, value in observed.items() if name != "field"} | {"datum": low}}
            | {"x2": {"datum": high}},
        },
        {
            "mark": bar | {"color": BAR},
            "encoding": {"x": observed, "x2": {"datum": max(low, 0.0)}},
            "transform": number,
        },
        {
            # The margin: filled within the bounds, an outline outside.
            "mark": bar,
            "encoding": {"x": observed | {"field": "bound"}, "x2": {"field": "observed"}, "color": passed}
            | {"stroke": passed, "fillOpacity": _by_outcome(1, 0.2)},
            "transform": [{"filter": "isValid(datum.observed) && isValid(datum.bound)"}],
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.5, "yOffset": 9, "color": INK},
            "encoding": {"x": observed | {"field": "low"}, "x2": {"field": "high"}},
            "transform": [{"filter": "isValid(datum.low)"}],
        },
        *(
            {
                "mark": {"type": "tick", "thickness": 2, "size": 20, "yOffset": 9, "color": INK},
                "encoding": {"x": observed | {"field": name}},
                "transform": [{"filter": f"isValid(datum.{name})"}],
            }
            for name in ("minimum", "maximum")
        ),
        {
            "mark": text | {"align": "left", "limit": left, "fontSize": 13},
            "encoding": {"x": {"value": 0}, "text": {"field": "field"}},
        },
        {
            "mark": text | {"align": "right"},
            "encoding": {"x": {"value": WIDTH - 12 - room}, "text": {"field": "text"}},
        },
        {
            "mark": text | {"align": "right", "fontWeight": "bold"},
            "encoding": {"x": {"value": WIDTH - 12}, "text": {"field": "margin"}, "color": passed},
        },
    ]
    y = {"field": "row", "type": "ordinal", "axis": None}
    return draw({"height": _ROW * len(rows), "data": {"values": rows}, "encoding": {"y": y}, "layer": layers})


def _row_of(row: int, check: CheckView) -> dict[str, Any]:
    record = check.record
    low, high = record.interval or (None, None)
    return {
        "row": row,
        "field": label(record.field),
        "observed": record.observed,
        "minimum": record.minimum,
        "maximum": record.maximum,
        "bound": _nearer_bound(record),
        "low": low,
        "high": high,
        "passed": record.passed,
        "text": check.observed if record.observed is not None else "undecided" if record.undecided else "no number",
        "margin": f"{check.margin} {check.sign}",
    }


def _nearer_bound(record: CheckRecord) -> float | None:
    """The bound from which the margin is measured."""
    if record.observed is None or record.minimum is None or record.maximum is None:
        return record.maximum if record.minimum is None else record.minimum
    above = record.maximum - record.observed < record.observed - record.minimum
    return record.maximum if above else record.minimum


def label(text: str, characters: int = 80) -> str:
    """Return a text as a plot may hold it, at most so many characters long."""
    # The renderer ends the whole process on characters that XML cannot hold, such as a NUL.
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:characters]
    )


def _by_outcome(passed: object, failed: object) -> dict[str, Any]:
    return {"condition": {"test": "datum.passed", "value": passed}, "value": failed}


def curve(panel: Panel, styles: Sequence[str]) -> Markup:
    """Draw the lines of a panel.

    Args:
        panel: the lines and their axes.
        styles: names of lines, in the order of colours, dashes and symbols.
    """
    points = [
        {"x": x, "y": y, "line": 0 if panel.is_loss else styles.index(line.name)}
        for line in panel.lines
        for x, y in line.points
    ]
    encoding: dict[str, Any] = {
        "x": _x(panel),
        "y": _y(panel),
        "color": _style(_COLOURS),
    }
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"y": minimum} for minimum in panel.bounds]},
            "mark": {"type": "rule", "color": INK, "strokeWidth": 1, "strokeDash": [3, 3]},
            "encoding": {"y": encoding["y"]},
        },
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": encoding | {"strokeDash": _style(_DASHES)}},
    ]
    if max(len(line.points) for line in panel.lines) <= _MOST_SYMBOLS:
        symbol = {"type": "point", "filled": True, "size": 45, "opacity": 1}
        layers.append({"mark": symbol, "encoding": encoding | {"shape": _style(list(SYMBOLS))}})
    return draw({"height": _CURVE_HEIGHT, "data": {"values": points}, "layer": layers})


def _style(values: Sequence[object]) -> dict[str, Any]:
    scale = {"domain": list(range(len(values))), "range": values}
    return {"field": "line", "type": "nominal", "scale": scale, "legend": None}


def _x(panel: Panel) -> dict[str, Any]:
    values = [x for line in panel.lines for x, _ in line.points]
    axis = {"grid": False, "tickCount": 6, "domain": True, "domainColor": FAINT}
    if max(values) - min(values) >= 1:
        axis["tickMinStep"] = 1
    title = panel.x + (" (%)" if panel.x == "progress" else "")
    scale = {"zero": False, "nice": False}
    return {"field": "x", "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def _y(panel: Panel) -> dict[str, Any]:
    scale: dict[str, Any] = {"zero": True, "nice": 5}
    if not panel.is_loss:
        values = [y for line in panel.lines for _, y in line.points]
        scale = {"domain": axis_ends([*values, *panel.bounds]), "nice": False}
    return {"field": "y", "type": "quantitative", "title": None, "scale": scale, "axis": {"tickCount": 5}}


def axis_ends(values: Sequence[float | None]) -> list[float]:
    """Ends of an axis that shows all values and bounds, with some room on both sides.

    The axis need not begin at 0: where all values are near their bounds, it shows how near. Fractions stay from 0 to 1.
    """
    numbers = [value for value in values if value is not None] or [0.0, 1.0]
    low, high = min(numbers), max(numbers)
    room = max((high - low) * _ROOM, _LEAST_ROOM * max(abs(low), abs(high)) or 1.0)
    ends = [low - room, high + room]
    return [max(0.0, ends[0]) if low >= 0 else ends[0], min(1.0, ends[1]) if high <= 1 else ends[1]]


def draw(specification: dict[str, Any]) -> Markup:
    """Draw a specification of Vega-Lite, with the colours and fonts of the page."""
    # The renderer escapes the texts that it draws.
    return Markup(svg(specification))  # noqa: S704


def svg(specification: dict[str, Any]) -> str:
    """Return a drawn specification as text; the renderer may fetch nothing."""
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": WIDTH,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 2, "right": 10, "top": 4, "bottom": 2},
        "config": CONFIG,
        **specification,
    }
    drawn = vl_convert.vegalite_to_svg(whole, vl_version=_VEGA_LITE, allowed_base_urls=[])
    return _UNNAMED.sub("", drawn)
