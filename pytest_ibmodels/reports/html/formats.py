"""Numbers as the page shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import told_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def plain(value: float | None) -> str:
    """Four decimals, as everywhere; what would be too long or too small for them in scientific notation."""
    if value is None:
        return NOTHING
    fits = value == 0 or 1e-4 <= abs(value) < 1e6
    return (f"{value:.4f}" if fits else f"{value:.3g}").replace("-", MINUS)


def signed(value: float | None) -> str:
    """As :func:`plain`, with a plus where it is not negative; empty for None."""
    if value is None:
        return ""
    return plain(value) if value < 0 else f"+{plain(value)}"


def apart(values: Sequence[float | None]) -> list[str]:
    """Numbers of one row, with as many digits as tell apart those that differ."""
    return [NOTHING if text == "-" else text.replace("-", MINUS) for text in told_apart(values)]


def duration(seconds: float | None) -> str:
    """Seconds, for people; a dash for None."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def utc(moment: datetime) -> str:
    """A date and a time of day."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
