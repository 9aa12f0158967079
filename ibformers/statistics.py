"""Confidence intervals and significance tests for metrics of a test part.

Needs numpy and scipy, but not torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Confidence level of the two-sided interval of a metric."""

RESAMPLES = 2000
"""Number of resamples of a bootstrap."""

_CELLS = 2**22
"""Maximum number of weights in memory at a time: 32 MB."""


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided Wilson interval of a rate; for 20 successes of 20 it is 0.84 to 1.

    Raises:
        ValueError: There are no trials, or more successes than trials.
    """
    found = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    rate = successes / trials
    # Rounding errors may push the bounds beyond 0 and 1, or off the rate itself.
    return max(0.0, min(float(found.low), rate)), min(1.0, max(float(found.high), rate))


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    The null hypothesis: among the units that only one of two models gets right, each model is equally likely to be
    right.
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
    """Draw bootstrap resamples, reproducibly for a seed.

    Args:
        units: number of units (rows or documents), or the number of units of each kind if many are equal.
        seed: seed of the random generator.
        resamples: number of resamples; each draws as many units as there are, with replacement.

    Yields:
        Arrays of shape (resamples of this array, units or kinds): how often each was drawn. All arrays together have
        `resamples` rows; an array takes at most 32 MB, or holds one resample.
    """
    rng = np.random.default_rng(seed)
    counts = np.ones(units, dtype=np.int64) if isinstance(units, int) else units
    kinds, total = len(counts), int(counts.sum())
    rows = max(1, _CELLS // max(kinds, 1))
    # One binomial draw per kind costs about as much as drawing eight units.
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
    """Return the interval of the central `confidence` of the resampled values; NaN values are ignored.

    Raises:
        ValueError: There are no values.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        raise ValueError("no resample has a value")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap_interval(
    point: float, values: NDArray[np.float64], right: int, units: int, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return the bootstrap interval of a metric that is 1 if all units are right and 0 if none is.

    If all resamples have the same value (for example because every unit is right), the Wilson interval of the share of
    right units is returned instead.

    Args:
        point: metric of all units.
        values: metric of each resample; NaN if it is undefined.
        right: number of right units, among those that the metric depends on.
        units: number of units that the metric depends on.
        confidence: confidence level.

    Returns:
        The interval, which contains `point`; None if it is undefined.
    """
    if not units or np.isnan(values).all():
        return None
    low, high = percentile_interval(values, confidence)
    if high - low < 1e-12:
        low, high = wilson(right, units, confidence)
    return min(low, point), max(high, point)
