"""Numbers, durations and dates as the page shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import NOTHING as PLAIN_NOTHING
from pytest_ibmodels.reports.figures import distinct_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def plain(value: float | None) -> str:
    """A number with four decimals, or in scientific notation if it is too large or too small for them."""
    if value is None:
        return NOTHING
    fits = value == 0 or 1e-4 <= abs(value) < 1e6
    return (f"{value:.4f}" if fits else f"{value:.3g}").replace("-", MINUS)


def signed(value: float | None) -> str:
    """A number as by :func:`plain`, with its sign; empty for None."""
    if value is None:
        return ""
    return plain(value) if value < 0 else f"+{plain(value)}"


def apart(values: Sequence[float | None]) -> list[str]:
    """The numbers of a row, with as many digits as tell different numbers apart."""
    return list(map(typeset, distinct_figures(values)))


def typeset(number: str) -> str:
    """A number in plain text with a true minus; a dash for no number."""
    return NOTHING if number == PLAIN_NOTHING else number.replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Seconds as hours, minutes and seconds; a dash for None."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def utc(moment: datetime) -> str:
    """Date and time of day in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
