"""One value held to its bounds, and all such checks of a phase."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.verdicts.better import tolerance

if TYPE_CHECKING:
    from pytest_ibmodels.verdicts.comparison import Comparison
    from pytest_ibmodels.verdicts.reported import Interval


@dataclass(frozen=True)
class MetricCheck:
    """One value of a metric, and the bounds that it is held to; it has a minimum, a maximum, or both.

    Attributes:
        minimum: the smallest value that passes, None if there is no such bound.
        observed: the reported value, or None where no number was reported. What is not finite becomes None.
        problem: why there is no number, one sentence; empty if there is one.
        maximum: the largest value that passes, None if there is no such bound.
        interval: low and high end of the value's 95 % interval, if one was reported.
        remark: what else there is to know of this value, a few words.

    Raises:
        TypeError: a value is no number.
        ValueError: there is no bound, or a bound is not finite, or nothing could pass.
    """

    metric: str
    field: str
    minimum: float | None = None
    observed: float | None = None
    problem: str = ""
    maximum: float | None = None
    interval: Interval | None = None
    remark: str = ""

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
        """Whether the value lies within its bounds; a tolerance of 1e-9 allows for rounding errors."""
        if self.observed is None:
            return False
        high_enough = self.minimum is None or self.observed >= self.minimum - tolerance(self.minimum)
        return high_enough and (self.maximum is None or self.observed <= self.maximum + tolerance(self.maximum))

    @property
    def undecided(self) -> bool:
        """Whether there were too few rows to tell."""
        return False

    @property
    def margin(self) -> float | None:
        """How far within its bounds the value is, from the nearer one; negative outside."""
        if self.observed is None:
            return None
        below = [] if self.minimum is None else [self.observed - self.minimum]
        above = [] if self.maximum is None else [self.maximum - self.observed]
        return min([*below, *above], default=None)


@dataclass(frozen=True)
class BetterCheck(MetricCheck):
    """The F1 (weighted avg) of the new model, held to that of the model in use less `max_drop`.

    Attributes:
        verdict: by the interval of the difference; None where a `problem` leaves nothing to judge.
        if_undecided: what it means where the rows are too few to tell.
        comparison: what the training reported; None if it reported only the two values.
        needed: if it is undecided, the number of rows at which the same difference would be decided, where known.
    """

    verdict: Literal["holds", "fails", "undecided"] | None = None
    if_undecided: Literal["pass", "fail"] = "pass"
    max_drop: float = 0.0
    comparison: Comparison | None = None
    needed: int | None = None

    def _check_bounds(self) -> None:
        """Where nothing could be compared, there is no bound."""

    @property
    def passed(self) -> bool:
        return self.verdict == "holds" or (self.undecided and self.if_undecided == "pass")

    @property
    def undecided(self) -> bool:
        return self.verdict == "undecided"


@dataclass(frozen=True)
class MetricsVerdict:
    checks: tuple[MetricCheck, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[MetricCheck, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def what_failed(self) -> str:
        count = f"{len(self.failures)} of {len(self.checks)} metrics"
        if any(check.maximum is not None for check in self.failures):
            return f"{count} not within the bounds"
        return f"{count} did not reach the minimum"
