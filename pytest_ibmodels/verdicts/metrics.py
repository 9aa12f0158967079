"""Observed metrics against their bounds (protocol 13.1, stricter: what is not a finite number never passes)."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.better import TOLERANCE
from pytest_ibmodels.verdicts.checks import MetricCheck, MetricsVerdict
from pytest_ibmodels.verdicts.reported import finite, interval, shown

if TYPE_CHECKING:
    from pytest_ibmodels.verdicts.parts import TestPart
    from pytest_ibmodels.verdicts.reported import Interval

__all__ = ["ALL", "Bounds", "MetricCheck", "MetricsVerdict", "check_metrics", "one_value_as_field", "reported_metrics"]

ALL = "all"
"""The field of a metric that has one value for everything."""

FROM_0_TO_1 = frozenset({"exact_match", "precision", "recall", "f1", "accuracy"})
"""Metrics that are shares by definition."""

Bounds = float | tuple[float | None, float | None]
"""A minimum alone, or minimum and maximum."""


def check_metrics(
    reported: object,
    bounds: Mapping[str, Mapping[str, Bounds]],
    intervals: object = None,
    test_part: TestPart | None = None,
) -> MetricsVerdict:
    """Hold what an environment reported to its bounds.

    Args:
        reported: ``evaluation_results``, as it came: metric → field → number, if all is well.
        bounds: metric → field → bounds.
        intervals: ``evaluation_intervals``, as it came: metric → field → `[low, high]`, as far as there are any.
        test_part: what the metrics were measured on, if that is known.

    Returns:
        One check for every field of ``bounds``, in their order. Other metrics and fields are not looked at.
    """
    return MetricsVerdict(
        tuple(
            _with_remarks(_check(reported, metric, field, _pair(given), test_part), intervals, test_part)
            for metric, fields in bounds.items()
            for field, given in fields.items()
        )
    )


def observed_value(reported: object, metric: str, field: str) -> tuple[float | None, str]:
    """The number that was reported, or None and why there is none."""
    problem = _missing(reported, metric, field, None)
    if problem:
        return None, problem
    value = _fields(reported)[metric][field]
    problem = _not_a_number(value)
    return (None, problem) if problem else (finite(value), "")


def observed_share(reported: object, metric: str, field: str) -> tuple[float | None, str]:
    """As :func:`observed_value`, of a metric that lies between 0 and 1."""
    value, problem = observed_value(reported, metric, field)
    problem = problem if value is None else _out_of_range(metric, value, (None, None))
    return (None, problem) if problem else (value, "")


def reported_metrics(reported: object, intervals: object) -> list[tuple[str, str, float, Interval | None]]:
    """Every finite number that was reported: metric, field, value, and its interval where there is one."""
    return [
        (str(metric), str(field), number, interval(_fields(intervals).get(metric, {}).get(field)))
        for metric, fields in _fields(reported).items()
        for field, value in fields.items()
        if (number := finite(value)) is not None
    ]


def one_value_as_field(reported: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Metrics that were reported as one number, or one interval, as if reported for the field ``all``."""
    if reported is None:
        return None
    return {
        name: {ALL: value} if finite(value) is not None or interval(value) is not None else value
        for name, value in reported.items()
    }


def _fields(reported: object) -> dict[object, Mapping[object, object]]:
    found = one_value_as_field(reported) if isinstance(reported, Mapping) else None
    return {name: fields for name, fields in (found or {}).items() if isinstance(fields, Mapping)}


def _pair(bounds: Bounds) -> tuple[float | None, float | None]:
    return bounds if isinstance(bounds, tuple) else (bounds, None)


def _check(
    reported: object, metric: str, field: str, bounds: tuple[float | None, float | None], test_part: TestPart | None
) -> MetricCheck:
    minimum, maximum = bounds
    value, problem = observed_value(reported, metric, field)
    if value is None:
        problem = _missing(reported, metric, field, test_part) or problem
    elif metric in FROM_0_TO_1:
        problem = _out_of_range(metric, value, bounds)
    return MetricCheck(metric, field, minimum, None if problem else value, problem, maximum)


def _out_of_range(metric: str, value: float, bounds: tuple[float | None, float | None]) -> str:
    if value < -TOLERANCE:
        return f"reported as {value:.6g}, below 0: {metric} lies between 0 and 1"
    in_percent = any(bound is not None and bound > 1 for bound in bounds)  # a user may mean that
    return f"reported as {value:.6g}, above 1: is it in percent?" if value > 1 + TOLERANCE and not in_percent else ""


def _with_remarks(check: MetricCheck, intervals: object, test_part: TestPart | None) -> MetricCheck:
    remarks: list[str] = []
    found = None
    if check.observed is not None:
        given = _fields(intervals).get(check.metric, {}).get(check.field)
        found = interval(given)
        if given is not None and found is None:
            remarks.append(f"its interval was reported as {shown(given)}, not as two numbers")
        elif found is not None:
            found, problem = _possible(check, found)
            remarks += [problem] if problem else _straddled(check, found)
        if test_part is not None and check.field in test_part.labels_without_test_rows:
            remarks.append(f"no test {test_part.unit.removesuffix('s')} has it")
    return replace(check, interval=found, remark="; ".join(remarks))


def _possible(check: MetricCheck, found: Interval) -> tuple[Interval | None, str]:
    low, high = found
    share = check.metric in FROM_0_TO_1 and (check.observed or 0.0) <= 1 + TOLERANCE
    if share and (low < -TOLERANCE or high > 1 + TOLERANCE):
        return None, f"its interval was reported as {low:g} to {high:g}, which no {check.metric} can be"
    return found, ""


def _straddled(check: MetricCheck, found: Interval | None) -> list[str]:
    """The bounds that lie within the interval: chance alone may have decided there."""
    if found is None:
        return []
    low, high = found
    said = []
    if check.minimum is not None and low < check.minimum - TOLERANCE and check.minimum <= high + TOLERANCE:
        said.append("the minimum lies within")
    if check.maximum is not None and low - TOLERANCE <= check.maximum and check.maximum < high - TOLERANCE:
        said.append("the maximum lies within")
    return said


def _missing(reported: object, metric: str, field: str, test_part: TestPart | None) -> str:
    if not isinstance(reported, Mapping) or not reported:
        return "the environment reported no metrics"
    if metric not in reported:
        return f"the environment did not report this metric; it reported {_listed(reported)}{_hint(metric, reported)}"
    fields = reported[metric]
    if not isinstance(fields, Mapping):
        return _not_a_number(fields) if field == ALL else f"reported as {shown(fields)}, not as one value per field"
    if field in fields:
        return ""
    return _without_rows(field, test_part) or (
        f"the model has no such field; its fields are {_listed(fields)}{_hint(field, fields)}"
    )


def _without_rows(field: str, test_part: TestPart | None) -> str:
    if test_part is None or field not in test_part.labels_without_test_rows:
        return ""
    if test_part.unit == "documents":
        return "no test document has this field, so nothing was measured: move a document that has it to the test part"
    return (
        f"none of the {test_part.count} test rows has this label, so nothing was measured: more rows, a smaller "
        "p_of_train, or a split_column that puts rows of it into the test part would help"
    )


def _not_a_number(value: object) -> str:
    if value == "NAN" or (isinstance(value, float) and math.isnan(value)):
        return "undefined (NaN): the field was never predicted, or has no annotated words in the test documents"
    if value is None:
        return "reported as null, without a value"
    if isinstance(value, str):
        return f"reported as the text {shown(value)}, not as a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"reported as {shown(value)}, not as a number"
    return "infinite" if finite(value) is None else ""


def _listed(names: Mapping[str, object]) -> str:
    shown_names = [str(name) for name in names]
    more = f" and {len(shown_names) - 8} more" if len(shown_names) > 8 else ""
    return ", ".join(shown_names[:8]) + more if shown_names else "none"


def _hint(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, [str(key) for key in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
