"""Several trainings of one case, which differ in their seed, judged by the mean of each metric."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.checks import BetterCheck, MetricsVerdict
from pytest_ibmodels.verdicts.metrics import bounds_within, reported_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.verdicts.checks import MetricCheck
    from pytest_ibmodels.verdicts.reported import Interval


def join_repeats(verdicts: Sequence[MetricsVerdict], seeds: Sequence[int]) -> MetricsVerdict:
    """The verdict on the mean of each metric.

    A metric without a number in one repeat has none in the mean, so it fails. A check `better_than_current` is that of
    the first repeat.

    Args:
        verdicts: verdict of each repeat; the checks of bounds are the same in all.
        seeds: seed of each repeat.
    """
    joined = [
        check if isinstance(check, BetterCheck) else _joined([verdict.checks[index] for verdict in verdicts], seeds)
        for index, check in enumerate(verdicts[0].checks)
    ]
    return MetricsVerdict(tuple(joined))


def mean_values(repeats: Sequence[tuple[object, object]]) -> list[tuple[str, str, float, Interval | None]]:
    """Metric, field, mean and mean interval of every finite number that all repeats reported.

    Args:
        repeats: ``evaluation_results`` and ``evaluation_intervals`` of each repeat, unchecked.
    """
    found = [
        {(metric, field): (value, interval) for metric, field, value, interval in reported_metrics(*both)}
        for both in repeats
    ]
    means = []
    for name in found[0] if found else ():
        if all(name in values for values in found):
            numbers, intervals = zip(*(values[name] for values in found), strict=True)
            means.append((*name, statistics.fmean(numbers), _mean_interval(intervals)))
    return means


def _joined(checks: Sequence[MetricCheck], seeds: Sequence[int]) -> MetricCheck:
    values = tuple(check.observed for check in checks)
    for check, seed in zip(checks, seeds, strict=True):
        if check.observed is None:
            problem = f"with seed {seed}: {check.problem}"
            return replace(check, problem=problem, remark="", repeats=values)
    numbers = [value for value in values if value is not None]
    interval = _mean_interval([check.interval for check in checks])
    mean = replace(checks[0], observed=statistics.fmean(numbers), interval=interval, repeats=values)
    remarks = [checks[0].remark] if interval is None and checks[0].remark else []
    remarks += [] if interval is None else bounds_within(mean, interval)
    if mean.noisy:
        remarks.append(f"noisy, {sum(map(mean.is_within, values))} of {len(values)} pass")
    return replace(mean, remark="; ".join(remarks))


def _mean_interval(intervals: Sequence[Interval | None]) -> Interval | None:
    """Mean of each end; None if a repeat has no interval.

    All repeats are measured on the same rows or documents, so the uncertainty that comes from these does not shrink
    with the number of repeats.
    """
    known = [interval for interval in intervals if interval is not None]
    if not known or len(known) < len(intervals):
        return None
    return statistics.fmean(low for low, _ in known), statistics.fmean(high for _, high in known)
