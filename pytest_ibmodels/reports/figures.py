"""Numbers as text, with as many digits as are needed to tell a value from its bound."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from pytest_ibmodels.verdicts.better import TOLERANCE, tolerance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.reports.record import CheckRecord
    from pytest_ibmodels.verdicts.checks import MetricCheck
    from pytest_ibmodels.verdicts.reported import Interval

    Check: TypeAlias = MetricCheck | CheckRecord

_FEWEST, _MOST = 4, 12
"""Fewest and most decimals."""
_HUGE = 1e7
"""From here on, numbers are written with an exponent."""
_MANY, _TINY = 9, 1e-4
"""Numbers below this are written with an exponent if they need that many decimals."""

NOTHING = "-"


@dataclass(frozen=True)
class Figures:
    """The numbers of a check as text, all with the same number of decimals; `-` for a number that is missing.

    Attributes:
        margin: with its sign.
        required: the bounds in words.
        missed: deviation from the bounds in words, or why there is no number; empty if the check passed.
        interval: interval and remark of the check.
        repeats: value of each repeat; empty without repeats.
    """

    observed: str
    minimum: str
    maximum: str
    margin: str
    required: str
    missed: str
    interval: str
    repeats: str


def figures(check: Check) -> Figures:
    """The numbers of a check, with four decimals, and more if those do not tell the numbers apart."""
    decimals = _decimals(check)
    observed, minimum, maximum = (number(value, decimals) for value in (check.observed, check.minimum, check.maximum))
    return Figures(
        observed=observed if check.spread is None else f"{observed} ± {number(check.spread, decimals)}",
        minimum=minimum,
        maximum=maximum,
        margin=signed(check.margin, decimals),
        required=_required(check, minimum, maximum),
        missed="" if check.passed else _missed(check, decimals),
        interval=interval_text(check),
        repeats=", ".join(number(value, decimals) for value in check.repeats),
    )


def distinct_figures(values: Sequence[float | None]) -> list[str]:
    """The numbers of a row, with four decimals, and more if different numbers would look alike."""
    numbers = sorted({value for value in values if value is not None})
    gaps = [(low, high) for low, high in pairwise(numbers) if high - low > TOLERANCE]
    decimals = next((count for count in range(_FEWEST, _MOST) if _differ(gaps, count)), _MOST)
    return [number(value, decimals) for value in values]


def number(value: float | None, decimals: int = _FEWEST) -> str:
    """A number, with an exponent if it is too large or too small for the decimals; `-` for None."""
    if value is None:
        return NOTHING
    if abs(value) >= _HUGE:
        text = f"{value:.{decimals + 3}g}"
    elif decimals >= _MANY and abs(value) < _TINY:
        text = f"{value:.{decimals + 3 - _MANY}g}"
    else:
        text = f"{value:.{decimals}f}"
    return text if text.strip("-0.") else text.lstrip("-")  # no -0.0000


def signed(value: float | None, decimals: int = _FEWEST) -> str:
    """A difference with its sign; `-` for None."""
    text = number(value, decimals)
    return text if text.startswith("-") else f"+{text}"


def span(interval: Interval) -> str:
    """An interval, with two decimals if it is wide, else four."""
    low, high = interval
    decimals = 2 if high - low >= 0.02 else 4
    return f"{number(low, decimals)} to {number(high, decimals)}"


def interval_text(check: Check) -> str:
    """Interval and remark of a check; empty if it has neither."""
    return ": ".join(filter(None, (span(check.interval) if check.interval else "", remark(check))))


def remark(check: Check) -> str:
    """Remark of a check; `undecided` replaces any other."""
    return "undecided" if check.undecided else check.remark


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 row`, `2 rows`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def compact(value: float, *others: float | None) -> str:
    """A number for programs, with six digits, or as many as tell it from the others."""
    differing = [other for other in others if other is not None and abs(other - value) > tolerance(other)]
    for digits in range(6, 17):
        text = f"{value:.{digits}g}"
        if all(text != f"{other:.{digits}g}" for other in differing):
            return text
    return repr(value)


def _decimals(check: Check) -> int:
    if check.observed is None:
        return _FEWEST
    bounds = [bound for bound in (check.minimum, check.maximum) if bound is not None]
    apart = [(check.observed, bound) for bound in bounds if abs(check.observed - bound) > tolerance(bound)]
    if apart and check.margin:
        apart.append((check.margin, 0.0))
    return next((count for count in range(_FEWEST, _MOST) if _differ(apart, count)), _MOST)


def _differ(pairs: Sequence[tuple[float, float]], decimals: int) -> bool:
    return all(number(one, decimals) != number(other, decimals) for one, other in pairs)


def _required(check: Check, minimum: str, maximum: str) -> str:
    if check.maximum is None:
        return minimum
    return f"at most {maximum}" if check.minimum is None else f"{minimum} to {maximum}"


def _missed(check: Check, decimals: int) -> str:
    if check.undecided or check.problem or check.margin is None:
        return check.problem or "undecided"
    if check.observed is None or check.margin >= 0:
        return "worse"
    direction = "low" if check.minimum is not None and check.observed < check.minimum else "high"
    return f"too {direction} by {number(-check.margin, decimals)}"
