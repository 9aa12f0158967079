"""Numbers for people: as many digits as tell a value from its bound."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from pytest_ibmodels.verdicts.better import TOLERANCE, tolerance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.verdicts.reported import Interval

_FEWEST, _MOST = 4, 12
_TOO_LONG = 1e7
"""From here on numbers are written with an exponent."""
_MANY, _TOO_SMALL = 9, 1e-4
"""And below this one, where so many decimals would be needed."""

NOTHING = "-"


class Check(Protocol):
    """What a check and its record have in common."""

    @property
    def minimum(self) -> float | None: ...
    @property
    def maximum(self) -> float | None: ...
    @property
    def observed(self) -> float | None: ...
    @property
    def margin(self) -> float | None: ...
    @property
    def passed(self) -> bool: ...
    @property
    def problem(self) -> str: ...
    @property
    def interval(self) -> Interval | None: ...
    @property
    def remark(self) -> str: ...
    @property
    def undecided(self) -> bool: ...


@dataclass(frozen=True)
class Figures:
    """The numbers of a check, written with the same number of decimals; `-` is what it has not.

    Attributes:
        margin: with its sign.
        required: the bounds in words.
        missed: by how much it is too low or too high, or why there is no number; empty if it passed.
        interval: the interval and the remark of the check.
    """

    observed: str
    minimum: str
    maximum: str
    margin: str
    required: str
    missed: str
    interval: str


def figures(check: Check) -> Figures:
    """Write the numbers of a check: with four decimals, and more where those do not tell them apart."""
    decimals = _decimals(check)
    observed, minimum, maximum = (_written(value, decimals) for value in (check.observed, check.minimum, check.maximum))
    return Figures(
        observed=observed,
        minimum=minimum,
        maximum=maximum,
        margin=_margin(check, decimals),
        required=_required(check, minimum, maximum),
        missed="" if check.passed else _missed(check, decimals),
        interval=interval_text(check),
    )


def told_apart(values: Sequence[float | None]) -> list[str]:
    """Numbers of one row: with four decimals, and more where numbers that differ would look alike."""
    numbers = sorted({value for value in values if value is not None})
    gaps = [(low, high) for low, high in pairwise(numbers) if high - low > TOLERANCE]
    decimals = next((count for count in range(_FEWEST, _MOST) if _tell_apart(gaps, count)), _MOST)
    return [_written(value, decimals) for value in values]


def number(value: float | None) -> str:
    """One number, with four decimals."""
    return _written(value, _FEWEST)


def signed(value: float) -> str:
    """A difference, with four decimals and its sign."""
    text = _written(value, _FEWEST)
    return text if text.startswith("-") else f"+{text}"


def span(interval: Interval) -> str:
    """An interval, with two decimals where it is wide."""
    low, high = interval
    decimals = 2 if high - low >= 0.02 else 4
    return f"{_written(low, decimals)} to {_written(high, decimals)}"


def interval_text(check: Check) -> str:
    """The interval of a value, and what else there is to know of the value; empty if there is nothing."""
    remark = "undecided" if check.undecided else check.remark
    return ": ".join(part for part in (span(check.interval) if check.interval else "", remark) if part)


def compact(value: float, *others: float | None) -> str:
    """A number for programs: six digits, or as many as tell it from the others that differ."""
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
    return next((count for count in range(_FEWEST, _MOST) if _tell_apart(apart, count)), _MOST)


def _tell_apart(pairs: Sequence[tuple[float, float]], decimals: int) -> bool:
    return all(_written(one, decimals) != _written(other, decimals) for one, other in pairs)


def _written(value: float | None, decimals: int) -> str:
    if value is None:
        return NOTHING
    if abs(value) >= _TOO_LONG:
        text = f"{value:.{decimals + 3}g}"
    elif decimals >= _MANY and abs(value) < _TOO_SMALL:
        text = f"{value:.{decimals + 3 - _MANY}g}"
    else:
        text = f"{value:.{decimals}f}"
    return text if text.strip("-0.") else text.lstrip("-")  # nothing is -0.0000


def _margin(check: Check, decimals: int) -> str:
    if check.margin is None:
        return NOTHING
    text = _written(check.margin, decimals)  # of a value that passes by the tolerance: 0.0000
    return text if text.startswith("-") else f"+{text}"


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
    return f"too {direction} by {_written(-check.margin, decimals)}"
