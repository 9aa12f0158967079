"""Row-by-row comparison of the new model with the model in use, as a training reports it (``comparison``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_ibmodels.verdicts.reported import count, excerpt, finite

_LEAST_CONFIDENCE = 0.9
_MOST_WORSE = 50
_LONGEST = 200
_ROUNDING = 1e-6
"""Allowed deviation, as a training may round the numbers that it reports."""


class ComparisonError(Exception):
    """A reported comparison is malformed; the message says how."""


@dataclass(frozen=True)
class Paired:
    """A metric of both models on the same rows, with the interval of the difference, new minus old."""

    old: float
    new: float
    difference: float
    low: float
    high: float
    p_value: float | None = None


@dataclass(frozen=True)
class WorseRow:
    """A row that the model in use gets right and the new model gets wrong."""

    row: int
    text: str
    label: str
    old: str
    new: str


@dataclass(frozen=True)
class Comparison:
    """Comparison of the new model with the model in use.

    Attributes:
        rows: number of test rows compared: those that the model in use has not learned from.
        learned: number of test rows left out because the model in use has learned from them; None if unknown.
        reason: why nothing could be compared, as a sentence; else empty.
        confidence: confidence of the intervals, fraction 0..1.
        accuracy, f1: None if nothing could be compared; ``f1`` is the weighted average.
        only_old_right, only_new_right: number of rows that only one of the two models gets right.
        worse: first rows that got worse.
    """

    rows: int
    learned: int | None
    reason: str
    confidence: float
    accuracy: Paired | None
    f1: Paired | None
    only_old_right: int
    only_new_right: int
    worse: tuple[WorseRow, ...] = ()


def read_comparison(reported: object) -> Comparison:
    """Parse and check a reported comparison.

    Raises:
        ComparisonError: the comparison is malformed.
    """
    given = _mapping(reported, "it")
    comparison = Comparison(
        rows=_count(given, "rows"),
        learned=None if _value(given, "learned") is None else _count(given, "learned"),
        reason=_reason(_value(given, "reason")),
        confidence=_within(given, "confidence", 0.0, 1.0),
        accuracy=_paired(given, "accuracy"),
        f1=_paired(given, "f1"),
        only_old_right=_count(given, "only_old_right"),
        only_new_right=_count(given, "only_new_right"),
        worse=_worse(given.get("worse")),
    )
    if comparison.confidence < _LEAST_CONFIDENCE:
        raise ComparisonError(f"its confidence is {comparison.confidence:g}, where at least 0.9 is needed")
    if comparison.only_old_right + comparison.only_new_right > comparison.rows:
        raise ComparisonError(f"more rows are right for one model only than its {comparison.rows} rows")
    if comparison.f1 is None and not comparison.reason:
        raise ComparisonError("it has neither an f1 nor a reason why there is none")
    if comparison.f1 is not None and comparison.rows == 0:
        raise ComparisonError("it has an f1 of 0 rows")
    return comparison


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ComparisonError(f"{name} is {excerpt(value)}, not an object")
    return value


def _value(given: Mapping[str, object], name: str) -> object:
    if name not in given:
        raise ComparisonError(f"it has no {name!r}")
    return given[name]


def _count(given: Mapping[str, object], name: str) -> int:
    number = count(_value(given, name))
    if number is None:
        raise ComparisonError(f"its {name!r} is {excerpt(given[name])}, not a whole number from 0")
    return number


def _within(given: Mapping[str, object], name: str, low: float, high: float, where: str = "") -> float:
    number = finite(_value(given, name))
    if number is None:
        raise ComparisonError(f"its {where}{name!r} is {excerpt(given[name])}, not a number")
    if not low - _ROUNDING <= number <= high + _ROUNDING:
        raise ComparisonError(f"its {where}{name!r} is {excerpt(given[name])}, not between {low:g} and {high:g}")
    return number


def _reason(value: object) -> str:
    if not isinstance(value, str):
        raise ComparisonError(f"its 'reason' is {excerpt(value)}, not a string")
    return value.strip()


def _paired(given: Mapping[str, object], metric: str) -> Paired | None:
    if _value(given, metric) is None:
        return None
    fields = _mapping(given[metric], f"its {metric!r}")
    where = f"{metric} "
    old, new = (_within(fields, name, 0.0, 1.0, where) for name in ("old", "new"))
    difference, low, high = (_within(fields, name, -1.0, 1.0, where) for name in ("difference", "low", "high"))
    if low > high:
        raise ComparisonError(f"the interval of its {metric} ends before it begins: {low:g} to {high:g}")
    if abs(new - old - difference) > _ROUNDING:
        raise ComparisonError(f"the difference of its {metric} is {difference:g}, not {new:g} minus {old:g}")
    p_value = None if fields.get("p_value") is None else _within(fields, "p_value", 0.0, 1.0, where)
    return Paired(old, new, difference, low, high, p_value)


def _worse(value: object) -> tuple[WorseRow, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ComparisonError(f"its 'worse' is {excerpt(value)}, not a list of rows")
    return tuple(_worse_row(row) for row in value[:_MOST_WORSE])


def _worse_row(value: object) -> WorseRow:
    row = _mapping(value, "a row of its 'worse'")
    text, label, old, new = (str(_value(row, name))[:_LONGEST] for name in ("text", "label", "old", "new"))
    return WorseRow(_count(row, "row"), text, label, old, new)
