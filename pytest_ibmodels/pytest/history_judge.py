"""Judging a training by earlier runs in the history: its baseline, and trends of its metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.pytest import options
from pytest_ibmodels.pytest.history_access import NO_EXTRA, history_of
from pytest_ibmodels.verdicts.baseline import BaselineVerdict

if TYPE_CHECKING:
    import pytest

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.history.store import History
    from pytest_ibmodels.pytest.nodes import CaseNode
    from pytest_ibmodels.spec import BaselineSpec, ModelTest
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.trends import Trend

_BASELINE_RUNS = 100
"""Number of the newest runs of a baseline that are read."""


def judged_by_history(node: CaseNode, run: Run, verdict: MetricsVerdict) -> MetricsVerdict:
    """Add the verdict on the baseline, and the trends, to the verdict of a training that ended.

    A history that cannot be used leaves the verdict as it is, unless the model test has a baseline, which then fails.
    """
    from pytest_ibmodels.history.errors import HistoryError

    config = node.config
    wanted = _wanted_baseline(config, run.case.test)
    problem = "this project keeps no history: the setting ibmodels_history, or the variable IBMODELS_HISTORY, is none"
    try:
        with history_of(config).open() as history:
            if history is not None:
                return _judged(node, run, verdict, wanted, history)
    except ModuleNotFoundError as error:
        problem = f"the history needs a package: {NO_EXTRA.format(module=error.name)}"
    except HistoryError as error:
        problem = str(error)
    if wanted is None:
        return verdict
    return replace(verdict, baseline=BaselineVerdict(str(wanted), wanted.max_drop, "fail", problem=problem))


def _wanted_baseline(config: pytest.Config, test: ModelTest) -> BaselineSpec | None:
    """Return the baseline of a model test: that of the command line, with the limits of the entry."""
    given: tuple[Literal["branch", "tag", "previous"], str] | None = config.getoption("ibmodels_model_baseline")
    if given is None:
        return test.baseline
    from pytest_ibmodels.spec import BaselineSpec

    kind, ref = given
    return replace(test.baseline or BaselineSpec("previous"), kind=kind, ref=ref)


def _judged(
    node: CaseNode, run: Run, verdict: MetricsVerdict, wanted: BaselineSpec | None, history: History
) -> MetricsVerdict:
    from pytest_ibmodels.pytest.history_rows import has_metrics, stored_runs
    from pytest_ibmodels.pytest.records import results_of, run_record

    record = run_record(node, (str(node.path), node.model_test.line), run, {})
    if not has_metrics(record):
        return verdict
    origin = history_of(node.config).origin()
    new = stored_runs(record, origin, results_of(run))
    return replace(
        verdict,
        baseline=None if wanted is None else _baseline(node.config, history, new, wanted, run.case.test),
        trends=_trends(node.config, history, new),
        trend_fails=run.case.test.trend == "fail",
    )


def _trends(config: pytest.Config, history: History, new: list[StoredRun]) -> tuple[Trend, ...]:
    from pytest_ibmodels.history.alerts import TREND_RUNS, trend_alerts

    first = new[0]
    earlier = [
        one
        for one in history.runs(first.project, first.test, first.environment, last=TREND_RUNS)
        if one.started < first.started
    ]
    min_shift = options.positive_number(config, "ibmodels_trend_min_shift")
    return tuple(trend_alerts([*earlier, *new], min_shift))


def _baseline(
    config: pytest.Config, history: History, new: list[StoredRun], wanted: BaselineSpec, test: ModelTest
) -> BaselineVerdict:
    from pytest_ibmodels.history.baselines import Rule, judge_baseline

    first = new[0]
    bounds = tuple((metric, name) for metric, fields in test.metrics.items() for name in fields)
    rule = Rule(str(wanted), wanted.max_drop, wanted.undecided, bounds)
    only: dict[str, str | bool] = {"verdict": "passed"}
    if wanted.kind == "branch":
        only |= {"branch": wanted.ref, "is_dirty": False}
    elif wanted.kind == "tag":
        from pytest_ibmodels.history.origin import commit_of_tag

        commit = commit_of_tag(config.rootpath, wanted.ref)
        if not commit:
            problem = f"git knows no tag {wanted.ref!r} here: fetch the tags (git fetch --tags), or correct its name"
            return BaselineVerdict(str(wanted), wanted.max_drop, wanted.undecided, problem=problem)
        only |= {"commit_id": commit, "is_dirty": False}
    earlier = [
        run
        for run in history.runs(first.project, first.test, first.environment, last=_BASELINE_RUNS, only=only)
        if run.started < first.started
    ]
    return judge_baseline(new, earlier, rule, history.documents)
