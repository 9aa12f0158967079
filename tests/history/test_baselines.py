"""Verdicts of a run against earlier runs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.history.baselines import Rule, judge_baseline, metrics_to_compare
from pytest_ibmodels.history.runs import StoredMetric, StoredRun
from pytest_ibmodels.verdicts.results import Results, WordCounts
from tests.history.samples import BEGIN, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ibmodels.verdicts.baseline import BaselineVerdict

RULE = Rule("branch main", 0.01, "pass", (("exact_match", "Name"),))


def documents(right: int, count: int = 400) -> Results:
    return {
        f"{number}.ibdoc": {"Name": WordCounts(1, 1, int(number < right), int(number < right))}
        for number in range(count)
    }


def with_documents(number: int, right: int, count: int = 400, **changes: Any) -> StoredRun:
    metric = StoredMetric("exact_match", "Name", right / count, count=count)
    return measured(number, metric, documents=documents(right, count), **changes)


def measured(number: int, *metrics: StoredMetric, **changes: Any) -> StoredRun:
    return run(number, metrics=metrics, **{"documents": None, "started": BEGIN + timedelta(days=number), **changes})


def value(number: int, value: float, **changes: Any) -> StoredRun:
    return measured(number, StoredMetric("exact_match", "Name", value, **changes))


def judge(new: StoredRun | list[StoredRun], *earlier: StoredRun, rule: Rule = RULE) -> BaselineVerdict:
    known = {one.id: one.documents for one in earlier if one.documents is not None}

    def read(ids: Sequence[str]) -> Mapping[str, Results]:
        return {run_id: known[run_id] for run_id in ids if run_id in known}

    return judge_baseline(new if isinstance(new, list) else [new], earlier, rule, read)


@pytest.mark.parametrize(
    ("right", "outcome"), [(380, "holds"), (379, "holds"), (372, "undecided"), (350, "worse"), (390, "holds")]
)
def test_the_same_documents_decide(right: int, outcome: str) -> None:
    verdict = judge(with_documents(9, right), with_documents(1, 300), with_documents(2, 380))
    assert verdict.outcome == outcome
    (change,) = verdict.changes
    assert (change.method, change.count, change.old) == ("documents", 400, 0.95)
    assert verdict.worse_count == max(0, 380 - right)
    assert [one.document for one in verdict.worse] == [f"{number}.ibdoc" for number in range(right, 380)][:50]
    assert (change.needed is not None) == (outcome == "undecided")
    assert (verdict.started, verdict.runs) == (BEGIN + timedelta(days=2), 1)


def test_on_few_documents_only_equal_results_hold() -> None:
    assert judge(with_documents(9, 15, 20), with_documents(1, 15, 20)).outcome == "holds"
    assert judge(with_documents(9, 16, 20), with_documents(1, 15, 20)).outcome == "undecided"
    assert judge(with_documents(9, 14, 20), with_documents(1, 15, 20)).outcome == "undecided"
    assert judge(with_documents(9, 5, 20), with_documents(1, 15, 20)).outcome == "worse"


def test_without_documents_the_spread_of_earlier_runs_decides() -> None:
    earlier = [value(number, 0.9 + 0.002 * (number % 3)) for number in range(10)]
    for new, outcome in ((0.9, "holds"), (0.893, "undecided"), (0.87, "worse")):
        (change,) = judge(value(20, new), *earlier).changes
        assert (change.outcome, change.method, change.count) == (outcome, "runs", 10)
        assert change.old == pytest.approx(0.9018)


def test_a_rate_on_few_documents_has_the_spread_of_its_rounding() -> None:
    earlier = [value(number, 0.9, count=20) for number in range(10)]
    (change,) = judge(value(20, 0.85, count=20), *earlier).changes
    assert change.low is not None
    assert change.outcome == "worse"
    assert change.low == pytest.approx(-0.05 - 1.833 * 0.05 / 12**0.5 * 1.1**0.5, abs=1e-4)


def test_one_earlier_run_has_its_interval() -> None:
    old = value(1, 0.9, low=0.87, high=0.93)
    for new, outcome in ((0.92, "undecided"), (0.97, "holds"), (0.8, "worse")):
        (change,) = judge(value(9, new, low=new - 0.03, high=new + 0.03), old).changes
        assert (change.outcome, change.method) == (outcome, "intervals")
    (change,) = judge(value(9, 0.2), old).changes
    assert (change.outcome, change.method, change.low) == ("undecided", "values", None)


def test_lower_is_better_for_a_loss() -> None:
    rule = Rule("branch main", 0.01, "pass", (("loss", "all"),))
    earlier = [measured(number, StoredMetric("loss", "all", 0.5 + 0.001 * (number % 2))) for number in range(8)]
    for new, outcome in ((0.3, "holds"), (0.6, "worse")):
        assert judge(measured(20, StoredMetric("loss", "all", new)), *earlier, rule=rule).outcome == outcome


def test_repeats_are_one_run_and_their_mean_is_compared() -> None:
    new = [with_documents(9, right, repeat=number, repeats=2) for number, right in enumerate((380, 340))]
    old = [
        with_documents(2, right, repeat=number, repeats=2, id=f"{number}") for number, right in enumerate((380, 380))
    ]
    verdict = judge(new, *old)
    (change,) = verdict.changes
    assert (change.new, change.old) == pytest.approx((0.9, 0.95))
    assert (change.method, verdict.outcome) == ("documents", "worse")


@pytest.mark.parametrize(
    ("earlier", "problem"),
    [
        ([], "the history has no passed run of branch main"),
        (
            [with_documents(1, 380, fingerprint="other")],
            "the newest passed run of branch main was tested on another test part",
        ),
        (
            [measured(1, StoredMetric("recall", "Name", 0.9))],
            "branch main has no value of the metrics that this run reported",
        ),
    ],
)
def test_nothing_to_compare_with_is_undecided(earlier: list[StoredRun], problem: str) -> None:
    for undecided, passed in (("pass", True), ("fail", False), ("skip", True)):
        rule = Rule("branch main", 0.01, undecided, RULE.bounds)  # type: ignore[arg-type]
        verdict = judge(with_documents(9, 380), *earlier, rule=rule)
        assert (verdict.outcome, verdict.passed, verdict.is_skip) == ("undecided", passed, undecided == "skip")
        assert verdict.problem.startswith(problem)
        assert (verdict.what_failed == "") == passed


def test_another_config_is_compared_and_said() -> None:
    verdict = judge(with_documents(9, 380, config_hash="b" * 64), with_documents(1, 380))
    assert verdict.outcome == "holds"
    assert verdict.remarks == ("the config is another one than that of the baseline",)


def test_the_spread_is_that_of_runs_with_one_config() -> None:
    others = [measured(number, StoredMetric("exact_match", "Name", 0.1), config_hash="b" * 64) for number in range(5)]
    earlier = [value(number, 0.9 + 0.001 * (number % 2)) for number in range(10, 15)]
    (change,) = judge(value(20, 0.9), *others, *earlier).changes
    assert (change.count, change.outcome) == (5, "holds")


def test_metrics_that_are_compared() -> None:
    reported = [("f1", "Name"), ("f1", "Total"), ("recall", "Name"), ("support", "Name")]
    of_fields = measured(1, *(StoredMetric(*pair, 0.5) for pair in reported))
    assert metrics_to_compare(of_fields, [("recall", "Name"), ("loss", "all")]) == [("recall", "Name")]
    assert metrics_to_compare(of_fields, []) == reported[:2]
    assert metrics_to_compare(measured(1, StoredMetric("accuracy", "all", 0.5)), []) == [("accuracy", "all")]
    of_own = measured(1, StoredMetric("bleu", "all", 0.5), StoredMetric("support", "a", 3.0))
    assert metrics_to_compare(of_own, []) == [("bleu", "all")]
