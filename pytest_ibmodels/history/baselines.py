"""A new run held to the earlier runs of a branch, of a tag, or to the run before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from pytest_ibmodels.history.cases import cases_of, mean_of
from pytest_ibmodels.history.paired import paired_difference, worse_documents
from pytest_ibmodels.history.statistics import mean_and_spread
from pytest_ibmodels.verdicts.baseline import PREVIOUS, BaselineVerdict, Change
from pytest_ibmodels.verdicts.better import TOLERANCE, judge_difference, rows_to_decide
from pytest_ibmodels.verdicts.metrics import METRICS, is_low_better

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_ibmodels.history.paired import PairedDifference
    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.verdicts.baseline import IfUndecided, Method, Outcome
    from pytest_ibmodels.verdicts.results import Results

MOST_CASES = 20
"""Most earlier cases whose spread is looked at."""

_MOST_WORSE = 50
_ONE_SIDED = 0.95
_NORMAL = 1.6449
"""Quantile of the normal distribution at 95 %."""
_WIDTH_95 = 2 * 1.95996
"""Width of a two-sided 95 % interval in standard errors."""

Case = list["StoredRun"]


@dataclass(frozen=True)
class Rule:
    """Rule by which a new run is held to earlier ones.

    Attributes:
        name: in words, such as `branch main`.
        max_drop: largest allowed drop of a metric.
        if_undecided: outcome of the test if the verdict is undecided.
        bounds: metrics and fields that the model test has bounds for; empty for none.
    """

    name: str
    max_drop: float
    if_undecided: IfUndecided
    bounds: tuple[tuple[str, str], ...] = ()


def judge_baseline(
    new: Case, earlier: Iterable[StoredRun], rule: Rule, documents: Callable[[Sequence[str]], Mapping[str, Results]]
) -> BaselineVerdict:
    """Hold the repeats of a new run to earlier runs.

    Documents decide where both runs have results on the same ones; otherwise the stored values and their spread do.

    Args:
        new: the new run, or each of its repeats.
        earlier: passed runs of the same model test on the same environment that the new run may be held to.
        rule: what the run is held to, and how.
        documents: returns the results per document of earlier runs, by their ids.
    """
    cases = [
        case for case in cases_of(sorted(earlier, key=lambda run: (run.started, run.repeat, run.id))) if case[0].metrics
    ]
    empty = BaselineVerdict(rule.name, rule.max_drop, rule.if_undecided)
    if not cases:
        return _without(empty, f"the history has no {_passed_run(rule)}")
    same = [case for case in cases if case[0].fingerprint == new[0].fingerprint][-MOST_CASES:]
    if not same:
        reason = "was tested on another test part (its fingerprint differs), so their metrics cannot be compared"
        return _without(empty, f"the newest {_passed_run(rule)} {reason}", cases[-1][-1])
    newest = same[-1]
    alike = [case for case in same if case[0].config_hash == newest[0].config_hash]
    of_documents = documents([run.id for run in newest])
    old_results = [found for run in newest if (found := of_documents.get(run.id))]
    new_results = [run.documents for run in new if run.documents]
    both = (new_results, old_results) if (len(new_results), len(old_results)) == (len(new), len(newest)) else ([], [])
    changes = [
        change
        for metric, field in metrics_to_compare(new[0], rule.bounds)
        if (change := _change(new, alike, both, metric, field, rule.max_drop)) is not None
    ]
    if not changes:
        return _without(empty, f"{rule.name} has no value of the metrics that this run reported", newest[-1])
    worse = worse_documents(*both) if all(both) else []
    return BaselineVerdict(
        rule.name,
        rule.max_drop,
        rule.if_undecided,
        tuple(changes),
        remarks=tuple(_remarks(new, newest)),
        started=newest[-1].started,
        commit=newest[-1].commit,
        version=newest[-1].version,
        runs=1 if all(change.method == "documents" for change in changes) else len(alike),
        worse=tuple(worse[:_MOST_WORSE]),
        worse_count=len(worse),
    )


def metrics_to_compare(run: StoredRun, bounds: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return metrics and fields to compare: those with bounds; without any, F1 of all fields, or else accuracy.

    Training code that reports neither has all its metrics compared, but for counts.
    """
    reported = [(one.metric, one.field) for one in run.metrics if one.value is not None]
    bounded = [pair for pair in bounds if pair in reported]
    if bounded:
        return bounded
    for metric in ("f1", "accuracy"):
        if any(name == metric for name, _ in reported):
            return [pair for pair in reported if pair[0] == metric]
    return [pair for pair in reported if pair[0] != "support"]


def _without(empty: BaselineVerdict, problem: str, newest: StoredRun | None = None) -> BaselineVerdict:
    return BaselineVerdict(
        empty.name,
        empty.max_drop,
        empty.if_undecided,
        problem=problem,
        started=None if newest is None else newest.started,
        commit="" if newest is None else newest.commit,
        version="" if newest is None else newest.version,
    )


def _passed_run(rule: Rule) -> str:
    return "passed run of this model test here" if rule.name == PREVIOUS else f"passed run of {rule.name}"


def _remarks(new: Case, old: Case) -> list[str]:
    remarks = []
    if new[0].config_hash != old[0].config_hash:
        remarks.append("the config is another one than that of the baseline")
    if not new[0].fingerprint and not old[0].fingerprint:
        remarks.append("the training reports no test part, so it is unknown whether both were tested on the same one")
    return remarks


def _change(
    new: Case,
    cases: Sequence[Case],
    results: tuple[Sequence[Results], Sequence[Results]],
    metric: str,
    field: str,
    max_drop: float,
) -> Change | None:
    """Compare one metric; None if the baseline has no value of it."""
    value = mean_of(new, metric, field)
    means = [mean for case in cases if (mean := mean_of(case, metric, field)) is not None]
    newest = mean_of(cases[-1], metric, field)
    if value is None or newest is None:
        return None
    if all(results):
        found = paired_difference(*results, (value.value, newest.value), metric, field)
        if found is not None:
            return _by_documents(metric, field, (value.value, newest.value), found, max_drop)
    if len(means) > 1:
        return _by_runs(metric, field, value.value, [mean.value for mean in means], value.count, max_drop)
    return _by_intervals(metric, field, (new, value.value), (cases[-1], newest.value), max_drop)


def _by_documents(
    metric: str, field: str, values: tuple[float, float], found: PairedDifference, max_drop: float
) -> Change:
    outcome: Outcome = "holds"
    needed = None
    if not found.is_same:
        measured = (found.difference, found.low, found.high, found.documents)
        verdict = judge_difference(*measured, found.only_old_right, found.only_new_right, max_drop)
        outcome = "worse" if verdict == "fails" else verdict
        needed = rows_to_decide(*measured, max_drop) if verdict == "undecided" else None
    difference = (found.difference, found.low, found.high)
    return Change(metric, field, *values, *difference, outcome, "documents", found.documents, needed)


def _by_runs(metric: str, field: str, value: float, earlier: list[float], count: int | None, max_drop: float) -> Change:
    """Compare a value with the mean and the spread of several earlier ones: a prediction interval of Student's t."""
    from scipy.special import stdtrit

    is_rate = metric in METRICS and METRICS[metric].is_fraction
    mean, spread = mean_and_spread(earlier, 1 / count if count and is_rate else 0.0)
    half = float(stdtrit(len(earlier) - 1, _ONE_SIDED)) * spread * math.sqrt(1 + 1 / len(earlier))
    return _judged(metric, field, (value, mean), half, max_drop, "runs", len(earlier))


def _by_intervals(metric: str, field: str, new: tuple[Case, float], old: tuple[Case, float], max_drop: float) -> Change:
    """Compare two values by their intervals, as if they were measured on different documents; so it is cautious."""
    widths = [_width(case, metric, field) for case, _ in (new, old)]
    half = None
    if None not in widths:
        half = _NORMAL * math.sqrt(math.fsum((width or 0.0) ** 2 for width in widths)) / _WIDTH_95
    method: Method = "values" if half is None else "intervals"
    return _judged(metric, field, (new[1], old[1]), half, max_drop, method, 0)


def _width(case: Case, metric: str, field: str) -> float | None:
    """Mean width of a metric's 95 % intervals; None if a repeat has none."""
    found = [one for run in case for one in run.metrics if (one.metric, one.field) == (metric, field)]
    widths = [one.high - one.low for one in found if one.low is not None and one.high is not None]
    return fmean(widths) if widths and len(widths) == len(case) else None


def _judged(
    metric: str,
    field: str,
    values: tuple[float, float],
    half: float | None,
    max_drop: float,
    method: Method,
    count: int,
) -> Change:
    difference = values[0] - values[1]
    if half is None:
        return Change(metric, field, *values, difference, None, None, "undecided", method, count)
    low, high = difference - half, difference + half
    best, worst = (-low, -high) if is_low_better(metric) else (high, low)
    outcome: Outcome = "undecided"
    if worst >= -max_drop - TOLERANCE:
        outcome = "holds"
    elif best < -max_drop - TOLERANCE:
        outcome = "worse"
    return Change(metric, field, *values, difference, low, high, outcome, method, count)
