"""Statistics of a series of values, oldest first: prediction bounds, splits, Holm's correction.

Needs numpy and scipy, which are imported on first use.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

FEWEST_BEFORE = 5
"""Fewest values before a change point."""

FEWEST_AFTER = 3
"""Fewest values from a change point on: one or two low values are no persistent shift."""

_SEED = 42
_FIRST_BATCH, _BATCH = 25, 500
"""Fewest and most permutations drawn at once: most series show in the first few that nothing changed."""
_PERMUTATIONS = 4999
_MOST_PERMUTATIONS = 200_000
_EXCEEDANCES = 10
"""Exceedances after which sampling ends, because the p-value is certainly high (Besag and Clifford 1991)."""

_SCREENS = ((60, 3.0), (30, 2.5), (0, 2.0))
"""Number of values, and the score below which a split of so many or more is never significant.

No permutation is drawn for such a split. Of random orders of 30 values or more (normal, skewed, heavy-tailed, rounded,
binary), at least 8 in 1,000 have a split with this score.
"""

_ROUNDING = 1e-12
_SLACK = 1e-7


class Cut(NamedTuple):
    """Best place to cut a series in two, without the means; attributes as for :class:`Split`."""

    cut: int
    score: float


class Split(NamedTuple):
    """Best place to cut a series in two.

    Attributes:
        cut: number of values before the cut.
        score: difference of the means, before minus after, in units of its standard error if nothing changed.
        before: mean of the values before the cut.
        after: mean of the values from the cut on.
    """

    cut: int
    score: float
    before: float
    after: float


def mean_and_spread(values: Sequence[float], step: float = 0.0) -> tuple[float, float]:
    """Return mean and standard deviation of at least two values.

    Args:
        values: the values.
        step: distance between possible values, `1 / documents` for a rate; 0 if unknown. The variance of rounding,
            `step² / 12`, is added, because equal values on a coarse grid do not show that there is no noise.

    Raises:
        ValueError: There are fewer than two values.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"a spread needs at least two values, but there are {count}")
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, math.sqrt(variance + step * step / 12)


def prediction_bound(values: Sequence[float], confidence: float = 0.99, step: float = 0.0) -> float:
    """Return the bound below which the next value falls with a probability of `1 - confidence`.

    That is mean - t · s · √(1 + 1/N), for values that are normally distributed. The upper bound is minus the bound of
    the negated values.
    """
    from scipy.special import stdtrit

    mean, spread = mean_and_spread(values, step)
    quantile = float(stdtrit(len(values) - 1, confidence))
    return mean - quantile * spread * math.sqrt(1 + 1 / len(values))


def probability_below(values: Sequence[float], limit: float, step: float = 0.0, drop: float = 0.0) -> float:
    """Return the probability that the next value, lowered by `drop`, falls below a limit."""
    from scipy.special import stdtr

    mean, spread = mean_and_spread(values, step)
    distance = limit - (mean - drop)
    if spread < _ROUNDING:
        return 1.0 if distance > _ROUNDING else 0.0
    return float(stdtr(len(values) - 1, distance / (spread * math.sqrt(1 + 1 / len(values)))))


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Return for each of several tests whether it is significant, by Holm's correction (Holm 1979).

    The probability that any test without an effect is called significant is at most `alpha`.
    """
    significant = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(order):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        significant[index] = True
    return significant


def best_cuts(values: Sequence[float], fewest: int) -> list[tuple[Cut, Cut] | None]:
    """Return where the values fall most clearly, and where they rise most clearly; the score of a rise is negative.

    Returns:
        A pair for the first `fewest` values, one for one value more, and so on up to all; None where all are equal.
    """
    import numpy as np

    array = np.asarray(values, dtype=float)
    array = array - array[0]  # rounding errors of the sums stay small, and equal values become exactly 0
    lengths, before, after, weight = _cuts(fewest, len(values))
    sums, squares = array.cumsum(), (array * array).cumsum()
    low, whole = sums[before - 1], sums[lengths - 1]
    variance = np.maximum(squares[lengths - 1] - whole * whole / lengths, 0.0) / (lengths - 1)
    scores = (low / before - (whole - low) / after) * weight
    spreads = np.sqrt(variance)[:, 0].tolist()
    falls, rises = scores.argmax(axis=1).tolist(), scores.argmin(axis=1).tolist()
    return [
        None
        if spread < _ROUNDING
        else (
            Cut(fall + FEWEST_BEFORE, float(scores[row, fall]) / spread),
            Cut(rise + FEWEST_BEFORE, float(scores[row, rise]) / spread),
        )
        for row, (spread, fall, rise) in enumerate(zip(spreads, falls, rises, strict=True))
    ]


def best_split(values: Sequence[float]) -> Split | None:
    """Return the split after which the values fall most clearly; None if there are too few, or all are equal."""
    if len(values) < FEWEST_BEFORE + FEWEST_AFTER:
        return None
    (cuts,) = best_cuts(values, len(values))
    return None if cuts is None else split_at(values, *cuts[0])


def clearest_cut(values: Sequence[float], cuts: Sequence[int]) -> int:
    """Return the cut, among several, with the clearest difference between the values before and after it."""

    def clearness(index: int) -> float:
        before, after = values[:index], values[index:]
        difference = math.fsum(before) / len(before) - math.fsum(after) / len(after)
        return abs(difference) * math.sqrt(len(before) * len(after))

    return max(cuts, key=clearness)


def split_p_value(values: Sequence[float], split: Split, alpha: float = 0.01) -> float:
    """Return the probability of a split at least as clear if the order of the values meant nothing.

    A permutation test on the best split of each permuted series, as that of e-divisive (Matteson and James 2014). It
    holds for any distribution of the values, also for rates on few documents. The seed is fixed, so that the same
    series always gives the same result.

    Args:
        values: the values.
        split: the split after which they fall most clearly.
        alpha: significance level that the p-value is held to, which decides how many permutations are drawn.
    """
    import numpy as np

    if split.score < screen(len(values)):
        return 1.0
    array = np.asarray(values, dtype=float)
    array = array - array[0]
    limit = split.score * _spread(array) - _ROUNDING
    rng = np.random.default_rng(_SEED)
    total = min(max(_PERMUTATIONS, math.ceil(2 / alpha)), _MOST_PERMUTATIONS)
    drawn = exceeding = 0
    while drawn < total:
        rows = min(max(_FIRST_BATCH, drawn), _BATCH, total - drawn)
        scores = _scores(rng.permuted(np.broadcast_to(array, (rows, len(array))), axis=1))
        drawn += rows
        exceeding += int((scores.max(axis=1) >= limit).sum())
        if exceeding >= _EXCEEDANCES:
            break
    return (exceeding + 1) / (drawn + 1)


def may_fall(values: Sequence[float], fewest: int, drop: float) -> bool:
    """Return whether any of the last values could be split with a fall that is not screened out.

    A cheap question about all ends of a series at once: False means that the best split of none of them falls by `drop`
    with a score for which :func:`split_p_value` would draw permutations.

    Args:
        values: the values.
        fewest: fewest values of an end.
        drop: smallest fall.
    """
    import numpy as np

    count = len(values)
    if count < fewest or max(values) - min(values) < drop - _SLACK:
        return False
    array = np.asarray(values, dtype=float)
    array = array - array[-1]
    sums, squares = (np.concatenate(([0.0], one.cumsum())) for one in (array, array * array))
    start = np.arange(count - fewest + 1)[:, None]
    cut = np.arange(FEWEST_BEFORE, count - FEWEST_AFTER + 1)[None, :]
    before, after, whole = np.maximum(cut - start, 1), count - cut, count - start
    fall = (sums[cut] - sums[start]) / before - (sums[-1] - sums[cut]) / after
    variance = (squares[-1] - squares[start] - (sums[-1] - sums[start]) ** 2 / whole) / (whole - 1)
    least = np.array([screen(end) for end in whole[:, 0].tolist()])[:, None]
    # A little less than the real limits, as these sums round differently from those of the split.
    is_large = fall >= drop - _SLACK
    is_clear = fall * np.sqrt(before * after / whole) >= (least - _SLACK) * np.sqrt(np.maximum(variance, 0.0)) - _SLACK
    return bool((is_large & is_clear & (cut - start >= FEWEST_BEFORE)).any())


def screen(count: int) -> float:
    """Return the score below which a split of so many values is never significant."""
    return next(score for fewest, score in _SCREENS if count >= fewest)


def split_at(values: Sequence[float], cut: int, score: float) -> Split:
    """Return the split of values at a cut, whose score is known."""
    return Split(cut, score, math.fsum(values[:cut]) / cut, math.fsum(values[cut:]) / (len(values) - cut))


def _spread(array: NDArray[np.float64]) -> float:
    """Standard deviation; numpy's own takes longer on short arrays."""
    total = float(array.sum())
    return math.sqrt(max(float(array @ array) - total * total / len(array), 0.0) / (len(array) - 1))


def _scores(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score of each allowed cut of each row: mean before minus mean after, times √(before · after / all)."""
    count = rows.shape[1]
    _, before, after, weight = _cuts(count, count)
    sums = rows.cumsum(axis=1)
    low = sums[:, FEWEST_BEFORE - 1 : count - FEWEST_AFTER]
    scores: NDArray[np.float64] = (low / before - (sums[:, -1:] - low) / after) * weight
    return scores


@lru_cache(maxsize=256)
def _cuts(
    fewest: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of values, before each cut, after it, and √(before · after / all), with a row for each number of values.

    A cut that leaves too few values after it has the weight 0.
    """
    import numpy as np

    lengths = np.arange(fewest, most + 1)[:, None]
    before = np.arange(FEWEST_BEFORE, most - FEWEST_AFTER + 1)[None, :]
    after = lengths - before
    is_allowed = after >= FEWEST_AFTER
    after = np.where(is_allowed, after, FEWEST_AFTER)
    return lengths, before, after, np.where(is_allowed, np.sqrt(before * after / lengths), 0.0)
