"""Observed metrics against their minimums (protocol 13.1, stricter: what is not a finite number never passes)."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

ALL = "all"
"""The field of a metric that has one value for everything."""

_COMPARED = ("f1", "weighted avg")


@dataclass(frozen=True)
class MetricCheck:
    """One minimum and what was seen.

    Attributes:
        observed: the reported value, or None where no number was reported.
        problem: why there is no number, one sentence; empty if there is one.
    """

    metric: str
    field: str
    minimum: float
    observed: float | None
    problem: str = ""

    @property
    def passed(self) -> bool:
        return self.observed is not None and self.observed >= self.minimum

    @property
    def margin(self) -> float | None:
        """How far above its minimum the value is; negative below."""
        return None if self.observed is None else self.observed - self.minimum


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
        return f"{len(self.failures)} of {len(self.checks)} metrics did not reach the minimum"


def check_metrics(reported: object, minimums: Mapping[str, Mapping[str, float]]) -> MetricsVerdict:
    """Hold what an environment reported to the minimums.

    Args:
        reported: ``evaluation_results``, as it came: metric → field → number, if all is well.
        minimums: metric → field → minimum, values of either 0..1 or whatever the metric's range is.

    Returns:
        One check for every minimum, in their order. Metrics and fields without a minimum are not looked at.
    """
    return MetricsVerdict(
        tuple(
            _check(reported, metric, field, minimum)
            for metric, fields in minimums.items()
            for field, minimum in fields.items()
        )
    )


def check_better(reported: object, current: object, max_drop: float) -> MetricCheck | None:
    """Hold a new model to the one in use, measured on the same rows, by their F1 (weighted avg).

    Args:
        reported: ``evaluation_results`` of the new model.
        current: what the training reports of the model in use: ``has_learned`` and ``evaluation_results``.
        max_drop: by so much the new model may be worse.

    Returns:
        None if there is no model in use that has learned the labels, so that nothing can be compared.
    """
    metric, field = _COMPARED
    name = f"{metric} {field}"
    if not isinstance(current, Mapping):
        problem = "the training did not report how good the model in use is"
        return MetricCheck("better_than_current", name, 0.0, None, problem)
    if not current.get("has_learned"):
        return None
    before = _check(current.get("evaluation_results"), metric, field, 0.0)
    after = _check(reported, metric, field, 0.0)
    if before.observed is None:
        return MetricCheck("better_than_current", name, 0.0, None, f"of the model in use: {before.problem}")
    minimum = before.observed - max_drop
    return MetricCheck("better_than_current", name, minimum, after.observed, after.problem)


def _check(reported: object, metric: str, field: str, minimum: float) -> MetricCheck:
    problem = _missing(reported, metric, field)
    if problem:
        return MetricCheck(metric, field, minimum, None, problem)
    assert isinstance(reported, Mapping)  # noqa: S101 - _missing has looked; this tells the type checker
    value = reported[metric][field]
    problem = _not_a_number(value)
    if problem:
        return MetricCheck(metric, field, minimum, None, problem)
    return MetricCheck(metric, field, minimum, float(value))


def _missing(reported: object, metric: str, field: str) -> str:
    if not isinstance(reported, Mapping) or not reported:
        return "the environment reported no metrics"
    if metric not in reported:
        return f"the environment did not report this metric; it reported {_listed(reported)}{_hint(metric, reported)}"
    fields = reported[metric]
    if not isinstance(fields, Mapping):
        return f"reported as {_shown(fields)}, not as one value per field"
    if field not in fields:
        return f"the model has no such field; its fields are {_listed(fields)}{_hint(field, fields)}"
    return ""


def _not_a_number(value: object) -> str:
    if value == "NAN" or (isinstance(value, float) and math.isnan(value)):
        return "undefined (NaN): the field was never predicted, or has no annotated words in the test documents"
    if value is None:
        return "reported as null, without a value"
    if isinstance(value, str):
        return f"reported as the text {_shown(value)}, not as a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"reported as {_shown(value)}, not as a number"
    if math.isinf(value):
        return "infinite"
    return ""


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:59] + "…"


def _listed(names: Mapping[str, object]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "") if shown else "none"


def _hint(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, [str(key) for key in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
