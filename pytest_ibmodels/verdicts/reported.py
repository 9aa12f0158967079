"""Parsing of values that a training reported, which may be anything that JSON can hold."""

from __future__ import annotations

import json
import math

Interval = tuple[float, float]


def finite(value: object) -> float | None:
    """A finite number as a float; None for anything else, and for integers beyond the range of floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def count(value: object) -> int | None:
    """A whole number from 0; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def interval(value: object) -> Interval | None:
    """A pair `[low, high]` of finite numbers; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = finite(value[0]), finite(value[1])
    return None if low is None or high is None or low > high else (low, high)


def excerpt(value: object) -> str:
    """A value as JSON, at most 60 characters."""
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, TypeError, RecursionError):
        # An integer of more than 4,300 digits, or keys that are not strings.
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= 60 else text[:59] + "…"
