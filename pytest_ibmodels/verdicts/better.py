"""Statistics of a new model's difference from the model in use, in pure Python.

The training job measures the difference on the same rows, with its 90 % interval (two one-sided 95 % bounds). The
interval serves as a test of non-inferiority with the margin `max_drop`.
"""

from __future__ import annotations

import math
from typing import Literal

Verdict = Literal["holds", "fails", "undecided"]
IfUndecided = Literal["pass", "fail"]

TOLERANCE = 1e-9
"""Differences below this are rounding errors: 0.8 - 0.1 is not exactly 0.7 in binary."""

_RELATIVE_TOLERANCE = 1e-6

FEWEST_ROWS = 30
"""On fewer rows the bootstrap's interval is not trusted to show that a model is as good."""

_SIGNIFICANT = 0.05
_NO_DIFFERENCE = 1e-6


def tolerance(bound: float) -> float:
    """Rounding error allowed beyond a bound: `TOLERANCE`, and less for bounds near 0."""
    return min(TOLERANCE, _RELATIVE_TOLERANCE * abs(bound))


def judge_difference(
    difference: float,
    low: float,
    high: float,
    rows: int,
    only_old_right: int,
    only_new_right: int,
    max_drop: float,
) -> Verdict:
    """Judge a new model by its difference from the model in use.

    Args:
        difference: score of the new model minus score of the model in use.
        low: lower end of the difference's 90 % interval.
        high: upper end of the interval.
        rows: number of rows on which both were measured.
        only_old_right: number of rows that only the model in use gets right.
        only_new_right: number of rows that only the new model gets right.
        max_drop: largest allowed drop of the score.

    Returns:
        `holds` if the whole interval lies above `-max_drop`, `fails` if the whole interval lies below, else
        `undecided`. On fewer than `FEWEST_ROWS` rows nothing holds, and a model fails only if McNemar's exact test
        agrees.
    """
    worse = high < -max_drop - TOLERANCE
    if rows < FEWEST_ROWS:
        certain = worse and difference < 0 and mcnemar(only_old_right, only_new_right) < _SIGNIFICANT
        return "fails" if certain else "undecided"
    if low >= -max_drop - TOLERANCE:
        return "holds"
    return "fails" if worse else "undecided"


def rows_to_decide(difference: float, low: float, high: float, rows: int, max_drop: float) -> int | None:
    """Number of rows at which the same difference would be decided; None if no number of rows is likely to.

    The interval's width shrinks with the square root of the number of rows.
    """
    distance = abs(difference + max_drop)
    half = (high - low) / 2
    if half <= 0:
        return max(rows + 1, FEWEST_ROWS)
    if distance < _NO_DIFFERENCE:
        return None
    # Round before rounding up: 0.3 / 0.1 is 2.9999999999999996.
    needed = math.ceil(round(rows * (half / distance) ** 2, 6))
    return max(needed, rows + 1, FEWEST_ROWS)


def mcnemar(only_old_right: int, only_new_right: int) -> float:
    """p-value of McNemar's exact one-sided test that the new model is worse: the upper tail of a fair binomial."""
    disagreeing = only_old_right + only_new_right
    tail = sum(math.comb(disagreeing, k) for k in range(only_old_right, disagreeing + 1))
    return tail / (1 << disagreeing)
