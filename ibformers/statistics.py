"""Intervals and tests of a training job: how much the rows or documents of a test part can show.

Needs numpy and scipy, and nothing of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Of the two-sided interval of a metric."""

RESAMPLES = 2000
"""Resamples of a bootstrap."""

_CELLS = 2**22
"""Most weights that are held at once: 32 MB."""


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided Wilson interval of a rate: 20 right of 20 is 0.84 to 1.

    Raises:
        ValueError: there are no trials, or more successes than trials.
    """
    found = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    rate = successes / trials
    # At 0 and 1 the formula may miss the bound by a rounding error.
    return max(0.0, min(float(found.low), rate)), min(1.0, max(float(found.high), rate))


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Its hypothesis is that a unit that only one of two models gets right is as likely to be the first's as the second's.
    """
    disagreeing = only_first_right + only_second_right
    return float(binomtest(only_first_right, disagreeing).pvalue) if disagreeing else 1.0


def mcnemar_worse(only_first_right: int, only_second_right: int) -> float:
    """Return the p-value of McNemar's exact one-sided test that the second model is worse than the first."""
    disagreeing = only_first_right + only_second_right
    return float(binomtest(only_first_right, disagreeing, alternative="greater").pvalue) if disagreeing else 1.0


def bootstrap_weights(
    units: int | NDArray[np.int64], seed: int, resamples: int = RESAMPLES
) -> Iterator[NDArray[np.int64]]:
    """Draw as many units as there are, with replacement, again and again; the same draws for the same seed.

    Args:
        units: number of units (rows or documents); or, where many are equal, how many there are of each kind.
        seed: of the draws.
        resamples: how often all units are drawn.

    Yields:
        Arrays of shape (some resamples, units or kinds): how often each was drawn. All arrays together have
        `resamples` rows; one array holds at most 32 MB, or one resample.
    """
    rng = np.random.default_rng(seed)
    counts = np.ones(units, dtype=np.int64) if isinstance(units, int) else units
    kinds, total = len(counts), int(counts.sum())
    rows = max(1, _CELLS // max(kinds, 1))
    # One binomial draw per kind costs about as much as eight drawn units.
    few_kinds = kinds * 8 <= total
    kind_of_unit = np.repeat(np.arange(kinds, dtype=np.int32), counts)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        if few_kinds:
            yield rng.multinomial(total, counts / total, size=size)
            continue
        drawn = np.empty((size, kinds), dtype=np.int64)
        for row in range(size):
            drawn[row] = np.bincount(kind_of_unit[rng.integers(total, size=total)], minlength=kinds)
        yield drawn


def percentile_interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval that holds the middle `confidence` of the values of resamples; NaN is left out.

    Raises:
        ValueError: there are no values.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        raise ValueError("no resample has a value")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap_interval(
    point: float, values: NDArray[np.float64], right: int, units: int, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return the interval of a metric that is 1 where all units are right, and 0 where none is.

    Where all resamples give the same value, as they do when every unit is right, they say nothing of other units; the
    Wilson interval of the units that are right is returned then.

    Args:
        point: the metric of all units.
        values: the metric of each resample; NaN where it is not defined.
        right: units that are right, of those that the metric depends on.
        units: those that the metric depends on.
        confidence: of the interval.

    Returns:
        The interval, which holds `point`; None where nothing can be said.
    """
    if not units or np.isnan(values).all():
        return None
    low, high = percentile_interval(values, confidence)
    if high - low < 1e-12:
        low, high = wilson(right, units, confidence)
    return min(low, point), max(high, point)
