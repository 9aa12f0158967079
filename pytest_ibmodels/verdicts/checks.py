"""A value held to its bounds, and all such checks of a phase."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.better import tolerance

if TYPE_CHECKING:
    from pytest_ibmodels.verdicts.baseline import BaselineVerdict
    from pytest_ibmodels.verdicts.better import IfUndecided, Verdict
    from pytest_ibmodels.verdicts.comparison import Comparison
    from pytest_ibmodels.verdicts.reported import Interval
    from pytest_ibmodels.verdicts.trends import Trend


@dataclass(frozen=True)
class MetricCheck:
    """A metric's value and its bounds: a minimum, a maximum, or both.

    Attributes:
        minimum: smallest value that passes; None for no minimum.
        observed: reported value; None if no finite number was reported.
        problem: why there is no number, as one sentence; empty if there is one.
        maximum: largest value that passes; None for no maximum.
        interval: low and high end of the value's 95 % interval; None if none was reported.
        remark: a note on the value, in a few words.
        repeats: value of each repeat, of which `observed` is the mean; None for a repeat without a number, empty for a
            training without repeats.

    Raises:
        TypeError: a value is not a number.
        ValueError: there is no bound, a bound is not finite, or the minimum is above the maximum.
    """

    metric: str
    field: str
    minimum: float | None = None
    observed: float | None = None
    problem: str = ""
    maximum: float | None = None
    interval: Interval | None = None
    remark: str = ""
    repeats: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        for name in ("minimum", "observed", "maximum"):
            value = getattr(self, name)
            if isinstance(value, bool | str):
                raise TypeError(f"{name} of {self.metric} is {value!r}, not a number")
            if value is not None:
                object.__setattr__(self, name, float(value))
        self._check_bounds()
        if self.observed is not None and not math.isfinite(self.observed):
            problem = "undefined (NaN)" if math.isnan(self.observed) else "infinite"
            object.__setattr__(self, "problem", self.problem or problem)
            object.__setattr__(self, "observed", None)

    def _check_bounds(self) -> None:
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        if not bounds:
            raise ValueError(f"the check of {self.metric} has neither a minimum nor a maximum")
        if not all(map(math.isfinite, bounds)):
            raise ValueError(f"a bound of {self.metric} is not finite")
        if len(bounds) == 2 and bounds[0] > bounds[1]:
            raise ValueError(f"the minimum of {self.metric} is above its maximum: nothing could pass")

    @property
    def passed(self) -> bool:
        """True if the value lies within its bounds, give or take a rounding error of 1e-9."""
        return self.is_within(self.observed)

    def is_within(self, value: float | None) -> bool:
        """True if a value lies within the bounds of this check."""
        if value is None:
            return False
        high_enough = self.minimum is None or value >= self.minimum - tolerance(self.minimum)
        return high_enough and (self.maximum is None or value <= self.maximum + tolerance(self.maximum))

    @property
    def spread(self) -> float | None:
        """Standard deviation of the repeats (of a sample, n - 1); None with fewer than two, or without a number."""
        values = [value for value in self.repeats if value is not None]
        return statistics.stdev(values) if len(values) == len(self.repeats) > 1 else None

    @property
    def noisy(self) -> bool:
        """True if some repeats lie within the bounds and others do not."""
        return None not in self.repeats and len({self.is_within(value) for value in self.repeats}) > 1

    @property
    def undecided(self) -> bool:
        """True if there were too few rows to decide."""
        return False

    @property
    def margin(self) -> float | None:
        """Distance from the nearer bound, negative outside the bounds; None without an observed value."""
        if self.observed is None:
            return None
        below = [] if self.minimum is None else [self.observed - self.minimum]
        above = [] if self.maximum is None else [self.maximum - self.observed]
        return min([*below, *above], default=None)


@dataclass(frozen=True)
class BetterCheck(MetricCheck):
    """The new model's F1 (weighted avg), held to that of the model in use minus `max_drop`.

    Attributes:
        verdict: judgment of the difference; None if a `problem` prevents it.
        if_undecided: outcome of the check if there are too few rows to decide.
        comparison: row-by-row comparison from the training; None if it reported only the two values.
        needed: number of rows at which the same difference would be decided; None if it is decided, or unknown.
    """

    verdict: Verdict | None = None
    if_undecided: IfUndecided = "pass"
    max_drop: float = 0.0
    comparison: Comparison | None = None
    needed: int | None = None

    def _check_bounds(self) -> None:
        """Allow a check without bounds: there may have been nothing to compare."""

    @property
    def passed(self) -> bool:
        return self.verdict == "holds" or (self.undecided and self.if_undecided == "pass")

    @property
    def undecided(self) -> bool:
        return self.verdict == "undecided"


@dataclass(frozen=True)
class MetricsVerdict:
    """All checks of a training.

    Attributes:
        checks: metrics held to their bounds.
        baseline: the run held to earlier runs; None if the model test has no baseline.
        trends: metrics that got worse over several runs, as of this run.
        trend_fails: True if a trend fails the test.
    """

    checks: tuple[MetricCheck, ...]
    baseline: BaselineVerdict | None = None
    trends: tuple[Trend, ...] = ()
    trend_fails: bool = False

    @property
    def passed(self) -> bool:
        is_kept = self.baseline is None or self.baseline.passed
        return all(check.passed for check in self.checks) and is_kept and not (self.trend_fails and self.trends)

    @property
    def failures(self) -> tuple[MetricCheck, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def what_failed(self) -> str:
        """How many metrics failed, in words."""
        count = f"{len(self.failures)} of {len(self.checks)} metrics"
        repeats = max((len(check.repeats) for check in self.failures), default=0)
        mean = f" in the mean of {repeats} repeats" if repeats else ""
        if any(check.maximum is not None for check in self.failures):
            return f"{count} not within the bounds{mean}"
        return f"{count} did not reach the minimum{mean}"
