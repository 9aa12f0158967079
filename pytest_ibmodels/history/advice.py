"""Advice on the bounds of a model test: what the values of its earlier runs support."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.history.cases import Value, cases_of, comparable_runs, mean_of
from pytest_ibmodels.history.statistics import mean_and_spread, prediction_bound, probability_below
from pytest_ibmodels.history.trend import MIN_SHIFT, change_points
from pytest_ibmodels.verdicts.better import tolerance
from pytest_ibmodels.verdicts.metrics import METRICS, is_low_better

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.verdicts.metrics import Bounds

BoundName = Literal["min", "max"]

FEWEST_VALUES = 5
"""Fewest values for a proposal."""

CONFIDENCE = 0.99
"""Probability that the next run of an unchanged model is within the proposed bound."""

DROP = 0.05
"""Drop that a minimum should catch: five points of 100."""

LEAST_POWER = 0.5
"""Smallest probability to catch such a drop; below, the bound is named."""

_OUTLIER = 5.0
"""Robust standard deviations from the median at which a bad value is a mishap, not noise."""
_NORMAL = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""


@dataclass(frozen=True)
class Advice:
    """Values of a metric in one environment, and the bound that they support.

    Attributes:
        test, environment, metric, field: names; the field is `all` for a metric with a single value.
        bound: `min` or `max`.
        present: the bound in the file.
        runs: number of fine runs, which are those that the advice rests on.
        mean, spread: mean and standard deviation of their values; None with too few runs.
        failed: number of these runs whose value the present bound fails.
        expected: probability that the next fine run fails the present bound; None with too few runs.
        catches: probability that the present bound fails a run that is five points worse; None with too few runs, and
            for metrics that are no fractions.
        proposed: prediction bound at 99 %, rounded outwards; None with too few runs.
        proposed_catches: as `catches`, for the proposed bound.
        notes: runs that were left out, and why; sentences without a full stop.
    """

    test: str
    environment: str
    metric: str
    field: str
    bound: BoundName
    present: float
    runs: int
    mean: float | None = None
    spread: float | None = None
    failed: int = 0
    expected: float | None = None
    catches: float | None = None
    proposed: float | None = None
    proposed_catches: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def misses_drops(self) -> bool:
        """True if a drop of five points would more likely pass the present bound than fail it."""
        return self.catches is not None and self.catches < LEAST_POWER


def advise(
    test: str, environment: str, bounds: Mapping[str, Mapping[str, Bounds]], runs: Iterable[StoredRun]
) -> list[Advice]:
    """Return advice on every bound of a model test in one environment.

    Runs that ended in an error are left out, and so are those with another test part or config than the newest run,
    because their values cannot be compared.

    Args:
        test: name of the model test.
        environment: name of the environment.
        bounds: metric → field → minimum and maximum in the file.
        runs: runs of the model test in this environment.
    """
    cases = cases_of(comparable_runs(runs))
    found = []
    for metric, fields in bounds.items():
        for field, (low, high) in fields.items():
            values = [value for case in cases if (value := mean_of(case, metric, field)) is not None]
            names = (test, environment, metric, field)
            if low is not None:
                found.append(_advice(names, "min", low, values, high))
            if high is not None:
                found.append(_advice(names, "max", high, values, low))
    return found


def loosest(found: Sequence[Advice]) -> float | None:
    """Return the proposal that holds in all environments, for advice on one bound; None without a proposal."""
    proposals = [one.proposed for one in found if one.proposed is not None]
    if not proposals:
        return None
    return max(proposals) if found[0].bound == "max" else min(proposals)


def _advice(
    names: tuple[str, str, str, str], bound: BoundName, present: float, values: Sequence[Value], other: float | None
) -> Advice:
    """Advice on one bound; `other` is the bound on the other side, which the proposal must not cross."""
    # A maximum is a minimum of the negated values.
    sign = 1.0 if bound == "min" else -1.0
    fine, notes = _fine_values(values, sign)
    signed = [sign * one.value for one in fine]
    limit = sign * present - tolerance(present)
    failed = sum(value < limit for value in signed)
    if len(signed) < FEWEST_VALUES:
        few = f"too few runs for a proposal: {len(signed)} of at least {FEWEST_VALUES}"
        return Advice(*names, bound, present, len(signed), failed=failed, notes=(*notes, few))
    is_fraction = _is_fraction(names[2], [one.value for one in values], present)
    count = fine[-1].count
    step = 1 / count if is_fraction and count else 0.0
    mean, spread = mean_and_spread(signed, step)
    proposed = sign * _rounded_down(prediction_bound(signed, CONFIDENCE, step), is_fraction=is_fraction)
    proposed = min(max(proposed, 0.0), 1.0) if is_fraction else max(proposed, 0.0)
    if other is not None:
        proposed = min(proposed, other) if bound == "min" else max(proposed, other)

    def caught(number: float) -> float | None:
        return probability_below(signed, sign * number - tolerance(number), step, DROP) if is_fraction else None

    return Advice(
        *names,
        bound,
        present,
        runs=len(signed),
        mean=sign * mean,
        spread=spread,
        failed=failed,
        expected=probability_below(signed, limit, step),
        catches=caught(present),
        proposed=proposed,
        proposed_catches=caught(proposed),
        notes=notes,
    )


def _fine_values(values: Sequence[Value], sign: float) -> tuple[list[Value], tuple[str, ...]]:
    """Values of the runs that were fine, and notes on the others.

    Fine are the runs at the newest level that is not a fall from the level before, without single mishaps.
    """
    if not values:
        return [], ()
    signed = [sign * one.value for one in values]
    cuts = [0, *change_points(signed), len(signed)]
    levels = [(start, end, fmean(signed[start:end])) for start, end in pairwise(cuts)]
    newest = len(levels) - 1
    while newest and levels[newest - 1][2] - levels[newest][2] >= MIN_SHIFT:
        newest -= 1
    mean = levels[newest][2]
    places = [place for start, end, level in levels if abs(level - mean) < MIN_SHIFT for place in range(start, end)]
    notes = []
    if newest < len(levels) - 1:
        since = values[levels[newest][1]].started
        size = mean - levels[-1][2]
        notes.append(f"worse by {size:.2g} since {since:%Y-%m-%d}: only the runs before that day count")
    elif len(places) < len(values):
        notes.append(f"left out as before a change: {len(values) - len(places)} of {len(values)} runs")
    lowest = _lowest_fine([signed[place] for place in places])
    fine = [values[place] for place in places if signed[place] >= lowest]
    if len(fine) < len(places):
        notes.append(f"left out as far too bad: {len(places) - len(fine)} of {len(places)} runs")
    return fine, tuple(notes)


def _lowest_fine(values: Sequence[float]) -> float:
    """Limit below which a value is a mishap, such as a broken build that trained nothing."""
    middle = median(values)
    spread = _NORMAL * median(abs(value - middle) for value in values)
    return middle - max(_OUTLIER * spread, DROP * max(1.0, abs(middle))) - tolerance(middle)


def _is_fraction(metric: str, values: Sequence[float], present: float) -> bool:
    if metric in METRICS:
        return METRICS[metric].is_fraction
    return not is_low_better(metric) and all(0 <= value <= 1 for value in (*values, present))


def _rounded_down(value: float, *, is_fraction: bool) -> float:
    """Round down to two decimals, or, if it is no fraction, at least to two significant digits."""
    digits: int = 2
    if not is_fraction and 0 < abs(value) < 0.1:
        digits = 1 - math.floor(math.log10(abs(value)))
    # A rounding error must not cost a digit: 0.29 * 100 is 28.999999999999996.
    scale = 10.0**digits
    return math.floor(round(value * scale, 6)) / scale
