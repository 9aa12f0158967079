"""From what a training reported at its end to the facts of its run, and its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import MetricsFailure
from pytest_ibmodels.verdicts.checks import MetricsVerdict
from pytest_ibmodels.verdicts.comparison import ComparisonError, read_comparison
from pytest_ibmodels.verdicts.metrics import check_metrics
from pytest_ibmodels.verdicts.paired import NAME, check_better
from pytest_ibmodels.verdicts.parts import read_test_part

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.engine.routes.base import TrainingState
    from pytest_ibmodels.spec import ModelTest


def take_facts(run: Run, state: TrainingState) -> None:
    """Keep what a training reported that has ended."""
    run.metrics, run.intervals = state.metrics, state.intervals
    run.test_part, problem = read_test_part(state.test_part)
    if problem:
        run.notes.append(f"the test part that the training reported cannot be read: {problem}")
    if state.comparison is not None:
        try:
            run.comparison = read_comparison(state.comparison)
        except ComparisonError as error:
            if _max_drop(run.case.test) is None:  # else it is a failure
                run.notes.append(f"the comparison that the training reported cannot be read: {error}")


def judge(run: Run, state: TrainingState) -> MetricsVerdict:
    """Judge the metrics, and the new model against the one in use if the model test asks for it.

    Raises:
        MetricsFailure: not all of them are within their bounds.
    """
    verdict = _judged(run, state)
    if not verdict.passed:
        raise MetricsFailure(verdict.what_failed, verdict)
    return verdict


def _judged(run: Run, state: TrainingState) -> MetricsVerdict:
    test = run.case.test
    bounds = {
        metric: {name: (bound.min, bound.max) for name, bound in fields.items()}
        for metric, fields in test.metrics.items()
    }
    verdict = check_metrics(state.metrics, bounds, state.intervals, run.test_part)
    max_drop = _max_drop(test)
    if test.table is None or max_drop is None:
        return verdict
    better = check_better(state.metrics, state.current, max_drop, state.comparison, test.table.undecided)
    if better is None:
        run.notes.append(f"{NAME}: no model of this name is in use yet, so none was compared")
        return verdict
    return MetricsVerdict((*verdict.checks, better))


def _max_drop(test: ModelTest) -> float | None:
    return None if test.table is None else test.table.max_drop
