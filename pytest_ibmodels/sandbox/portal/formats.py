"""Filters of the templates: numbers, times and texts as a person reads them."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

MAX_TEXT = 20_000
NOTHING = "\N{EN DASH}"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def cut(text: object, length: int = 200) -> str:
    """Text of at most ``length`` characters, with an ellipsis if it was longer."""
    plain = str(text)
    return plain if len(plain) <= length else f"{plain[: length - 1]}…"


def size(count: float | None) -> str:
    """Number of bytes with a unit; a dash for none."""
    if not count:
        return NOTHING
    if count == 1:
        return "1 byte"
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 or number >= 100 else f"{number:.1f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """Time span with its two largest units; a dash for none."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def ago(seconds: float) -> str:
    """Age in its largest unit, so that it seldom changes."""
    if seconds < 60:
        return "just now"
    for unit, length in (("min", 60), ("h", 3600), ("d", 86_400)):
        if seconds < {"min": 3600, "h": 2 * 86_400}.get(unit, float("inf")):
            return f"{seconds / length:.0f} {unit} ago"
    return ""


def plain(text: str) -> str:
    """Size or time span without a last part of nothing: ``4.0 MiB`` as ``4 MiB``, ``5 min 00 s`` as ``5 min``."""
    return re.sub(r"\.0(?= )| 0?0 (s|min|h)$", "", text)


def utc(moment: float | None) -> str:
    """Unix seconds as a date and time in UTC."""
    return NOTHING if moment is None else datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(moment: float) -> str:
    """Unix seconds as the attribute ``datetime`` of a page."""
    return datetime.fromtimestamp(moment, tz=UTC).isoformat(timespec="seconds")


def number(value: object) -> str:
    """Number with four digits; other values as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return cut(value, 40)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def as_json(value: Any) -> str:
    """Value as indented JSON, cut if it is long."""
    return cut(json.dumps(value, indent=2, ensure_ascii=False), MAX_TEXT)


def url_part(text: object) -> str:
    """Text as one part of a path, or a value of a query; unpaired surrogates become question marks."""
    return quote(str(text), safe="", errors="replace")


FILTERS = {
    function.__name__: function for function in (cut, size, duration, plain, ago, utc, iso, number, as_json, url_part)
}
