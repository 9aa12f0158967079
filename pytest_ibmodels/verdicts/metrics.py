"""The known metrics, and reported metrics against their bounds.

Source: Instabase protocol, "Metrics"; stricter here: a value that is not a finite number never passes.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.better import TOLERANCE
from pytest_ibmodels.verdicts.checks import MetricCheck, MetricsVerdict
from pytest_ibmodels.verdicts.reported import excerpt, finite, interval

if TYPE_CHECKING:
    from pytest_ibmodels.verdicts.parts import TestPart
    from pytest_ibmodels.verdicts.reported import Interval

ALL = "all"
"""The field of a metric that has one value for everything."""

Bounds = tuple[float | None, float | None]
"""Minimum and maximum; None for no bound."""


@dataclass(frozen=True)
class Metric:
    """A metric that the project's own training code reports.

    Attributes:
        is_per_field: reported as a value for each field; else as one number.
        is_fraction: from 0 to 1.
        is_low_better: lower values are better.
    """

    is_per_field: bool = True
    is_fraction: bool = True
    is_low_better: bool = False


METRICS: Mapping[str, Metric] = {
    "exact_match": Metric(),
    "precision": Metric(),
    "recall": Metric(),
    "f1": Metric(),
    "value_f1": Metric(),
    "accuracy": Metric(is_per_field=False),
    "ece": Metric(is_per_field=False, is_low_better=True),
}
"""Known metrics by name. Training code may report others."""

_INDISTINCT = 1e-6
"""A value this near to its bound is told from it by no number of documents."""

_LOW_IS_BETTER = frozenset(
    {"cer", "distance", "duration", "ece", "error", "latency", "loss", "mae", "mape", "mse", "perplexity", "rmse"}
    | {"seconds", "time", "wer"}
)
"""Words in the names of other metrics that mean that lower values are better."""


def is_low_better(metric: str) -> bool:
    """True if lower values are better, as declared or, for a metric that is not declared, by a word in its name."""
    if metric in METRICS:
        return METRICS[metric].is_low_better
    return not _LOW_IS_BETTER.isdisjoint(re.split(r"[._-]", metric.lower()))


def check_metrics(
    reported: object,
    bounds: Mapping[str, Mapping[str, Bounds]],
    intervals: object = None,
    test_part: TestPart | None = None,
) -> MetricsVerdict:
    """Hold reported metrics to their bounds.

    Args:
        reported: ``evaluation_results``, unchecked: metric → field → number.
        bounds: metric → field → minimum and maximum.
        intervals: ``evaluation_intervals``, unchecked: metric → field → `[low, high]`; None if none were reported.
        test_part: rows or documents that the metrics were measured on; None if unknown.

    Returns:
        One check for every field of ``bounds``, in their order. Other reported metrics and fields are ignored.
    """
    return MetricsVerdict(
        tuple(
            _with_interval(_check(reported, metric, field, given, test_part), intervals, test_part)
            for metric, fields in bounds.items()
            for field, given in fields.items()
        )
    )


def observed_fraction(reported: object, metric: str, field: str) -> tuple[float | None, str]:
    """The reported value of a metric from 0 to 1, or None and the reason why there is none."""
    value, problem = _observed(reported, metric, field)
    problem = problem if value is None else _out_of_range(metric, value, (None, None))
    return (None, problem) if problem else (value, "")


def reported_metrics(reported: object, intervals: object) -> list[tuple[str, str, float, Interval | None]]:
    """Metric, field, value and interval of every finite number that was reported; None without an interval."""
    return [
        (str(metric), str(field), number, interval(_fields(intervals).get(metric, {}).get(field)))
        for metric, fields in _fields(reported).items()
        for field, value in fields.items()
        if (number := finite(value)) is not None
    ]


def one_value_as_field(reported: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Metrics in which a single number, or a single interval, has become the value of the field ``all``."""
    if reported is None:
        return None
    return {
        name: {ALL: value} if finite(value) is not None or interval(value) is not None else value
        for name, value in reported.items()
    }


def _fields(reported: object) -> dict[object, Mapping[object, object]]:
    found = one_value_as_field(reported) if isinstance(reported, Mapping) else None
    return {name: fields for name, fields in (found or {}).items() if isinstance(fields, Mapping)}


def _observed(reported: object, metric: str, field: str, test_part: TestPart | None = None) -> tuple[float | None, str]:
    if problem := _missing(reported, metric, field, test_part):
        return None, problem
    value = _fields(reported)[metric][field]
    problem = _not_a_number(value)
    return (None, problem) if problem else (finite(value), "")


def _check(reported: object, metric: str, field: str, bounds: Bounds, test_part: TestPart | None) -> MetricCheck:
    minimum, maximum = bounds
    value, problem = _observed(reported, metric, field, test_part)
    if value is not None and _is_fraction(metric):
        problem = _out_of_range(metric, value, bounds)
    return MetricCheck(metric, field, minimum, None if problem else value, problem, maximum)


def _is_fraction(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].is_fraction


def _out_of_range(metric: str, value: float, bounds: Bounds) -> str:
    if value < -TOLERANCE:
        return f"reported as {value:.6g}, below 0: {metric} lies between 0 and 1"
    in_percent = any(bound is not None and bound > 1 for bound in bounds)  # a user may mean that
    return f"reported as {value:.6g}, above 1: is it in percent?" if value > 1 + TOLERANCE and not in_percent else ""


def _with_interval(check: MetricCheck, intervals: object, test_part: TestPart | None) -> MetricCheck:
    if check.observed is None:
        return check
    reported = _fields(intervals).get(check.metric, {}).get(check.field)
    found = interval(reported)
    remarks: list[str] = []
    if found is not None:
        found, remarks = _possible_interval(check, found, test_part)
    elif reported is not None:
        remarks.append(f"its interval was reported as {excerpt(reported)}, not as two numbers")
    if test_part is not None and check.field in test_part.labels_without_test_rows:
        remarks.append(f"no test {test_part.unit.removesuffix('s')} has it")
    return replace(check, interval=found, remark="; ".join(remarks))


def _possible_interval(
    check: MetricCheck, found: Interval, test_part: TestPart | None
) -> tuple[Interval | None, list[str]]:
    """The interval, None if the metric cannot have it, and remarks on the bounds within it, which chance may decide."""
    low, high = found
    in_percent = (check.observed or 0.0) > 1 + TOLERANCE
    if _is_fraction(check.metric) and not in_percent and (low < -TOLERANCE or high > 1 + TOLERANCE):
        return None, [f"its interval was reported as {low:g} to {high:g}, but {check.metric} lies between 0 and 1"]
    return found, bounds_within(check, found, test_part)


def bounds_within(check: MetricCheck, found: Interval, test_part: TestPart | None = None) -> list[str]:
    """Remarks on the bounds of a check that lie within an interval, so that chance may decide.

    If the test part is known, they say how many documents or rows would tell.
    """
    low, high = found
    remarks = []
    if check.minimum is not None and low < check.minimum - TOLERANCE and check.minimum <= high + TOLERANCE:
        remarks.append(f"the minimum lies within{_count_to_tell(check, check.minimum, found, test_part)}")
    if check.maximum is not None and low - TOLERANCE <= check.maximum and check.maximum < high - TOLERANCE:
        remarks.append(f"the maximum lies within{_count_to_tell(check, check.maximum, found, test_part)}")
    return remarks


def _count_to_tell(check: MetricCheck, bound: float, found: Interval, test_part: TestPart | None) -> str:
    """Number of documents or rows from which on the interval of the same value would not reach the bound, in words.

    The Wilson interval of a rate p ends where (p - end)² n = z² end (1 - end), so both ends and counts are related
    without z. Other values have intervals that shrink with the square root of the count.
    """
    value = check.observed
    if test_part is None or value is None or abs(value - bound) < _INDISTINCT:
        return ""
    end = found[0] if value > bound else found[1]
    ratio = ((value - end) / (value - bound)) ** 2
    if _is_fraction(check.metric) and 0 < end < 1 and 0 < bound < 1:
        ratio *= bound * (1 - bound) / (end * (1 - end))
    # Round before rounding up: 0.3 / 0.1 is 2.9999999999999996.
    needed = max(test_part.count + 1, math.ceil(round(test_part.count * ratio, 6)))
    return f", about {needed:,} {test_part.unit} would tell"


def _missing(reported: object, metric: str, field: str, test_part: TestPart | None) -> str:
    if not isinstance(reported, Mapping) or not reported:
        return "the environment reported no metrics"
    if metric not in reported:
        return f"the environment did not report this metric; it reported {_listed(reported)}{_hint(metric, reported)}"
    fields = reported[metric]
    if not isinstance(fields, Mapping):
        return _not_a_number(fields) if field == ALL else f"reported as {excerpt(fields)}, not as one value per field"
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
        f"none of the {test_part.count} test rows has this label, so nothing was measured: add rows, lower "
        "p_of_train, or choose a split_column that puts rows with this label into the test part"
    )


def _not_a_number(value: object) -> str:
    if value == "NAN" or (isinstance(value, float) and math.isnan(value)):
        return "undefined (NaN): the field was never predicted, or has no annotated words in the test documents"
    if value is None:
        return "reported as null, without a value"
    if isinstance(value, str):
        return f"reported as the text {excerpt(value)}, not as a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"reported as {excerpt(value)}, not as a number"
    return "infinite" if finite(value) is None else ""


def _listed(names: Mapping[str, object]) -> str:
    listed = [str(name) for name in names]
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return ", ".join(listed[:8]) + more if listed else "none"


def _hint(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, [str(key) for key in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
