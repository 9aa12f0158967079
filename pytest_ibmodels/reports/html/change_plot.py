"""The plot of differences from a baseline: a point and its interval per row, against no change and the allowed drop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_ibmodels.reports.html.plots import BAR, INK, SOFT, WIDTH, draw, label
from pytest_ibmodels.verdicts.metrics import is_low_better

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from pytest_ibmodels.reports.html.change_view import ChangeView

_ROW = 42
_DIGIT, _TEXT_ROOM = 8, 90
"""Pixels: width of a digit, and least width of the column of differences."""
_ROOM = 0.06
"""Free share of the axis at both ends."""


def changes(views: Sequence[ChangeView], max_drop: float) -> Markup:
    """Draw the differences of one metric, a row per field.

    Args:
        views: the differences.
        max_drop: largest allowed drop; the pale line. For a metric that should be low, it is a rise.
    """
    limit = max_drop if is_low_better(views[0].record.metric) else -max_drop
    rows = [_row(number, view) for number, view in enumerate(views)]
    room = max(_TEXT_ROOM, _DIGIT * max(len(row["text"]) for row in rows))
    x = {"type": "quantitative", "title": None}
    scaled = x | {
        "scale": {"domain": _domain([limit, *_ends(views)]), "nice": False},
        "axis": {"tickCount": 5, "grid": False, "format": "+~g", "labelExpr": _LABEL},
    }
    colour = {
        "condition": [
            {"test": "datum.outcome == 'holds'", "value": "var(--good)"},
            {"test": "datum.outcome == 'worse'", "value": "var(--bad)"},
        ],
        "value": SOFT,
    }
    text = {"type": "text", "baseline": "middle", "yOffset": -10}
    tick = {"type": "tick", "size": 22, "yOffset": 9}
    layers: list[dict[str, Any]] = [
        *(
            {
                "mark": tick | {"color": color, "thickness": thickness},
                "encoding": {"x": scaled | {"datum": at}, "y": _Y},
            }
            for at, color, thickness in ((0.0, INK, 1.5), (limit, BAR, 3))[: 2 if limit else 1]
        ),
        {
            "mark": {"type": "rule", "strokeWidth": 2.5, "yOffset": 9},
            "encoding": {"x": scaled | {"field": "low"}, "x2": {"field": "high"}, "y": _Y, "color": colour},
            "transform": [{"filter": "isValid(datum.low)"}],
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "yOffset": 9},
            "encoding": {"x": scaled | {"field": "difference"}, "y": _Y, "color": colour},
        },
        {
            "mark": text | {"align": "left", "limit": WIDTH - 24 - room, "fontSize": 13, "color": INK},
            "encoding": {"x": {"value": 0}, "y": _Y, "text": {"field": "field"}},
        },
        {
            "mark": text | {"align": "right", "fontSize": 12, "fontWeight": "bold"},
            "encoding": {"x": {"value": WIDTH - 12}, "y": _Y, "text": {"field": "text"}, "color": colour},
        },
    ]
    return draw({"height": _ROW * len(rows), "data": {"values": rows}, "layer": layers})


_LABEL = "datum.value == 0 ? '0' : datum.label"
_Y = {"field": "row", "type": "ordinal", "axis": None}


def _row(number: int, view: ChangeView) -> dict[str, Any]:
    record = view.record
    return {
        "row": number,
        "field": label(record.field),
        "difference": record.difference,
        "low": record.low,
        "high": record.high,
        "outcome": record.outcome,
        "text": f"{view.difference} {view.sign}",
    }


def _ends(views: Sequence[ChangeView]) -> list[float]:
    records = [view.record for view in views]
    numbers = [number for one in records for number in (one.difference, one.low, one.high)]
    return [number for number in numbers if number is not None]


def _domain(values: Sequence[float]) -> list[float]:
    """Ends of an axis that shows all values and 0, with some room on both sides."""
    low, high = min(0.0, *values), max(0.0, *values)
    room = (high - low) * _ROOM or 1.0
    return [low - room, high + room]
