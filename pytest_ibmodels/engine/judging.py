"""Judging a training that has ended, by what it reported, or that is late."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import TimeLimitFailure
from pytest_ibmodels.engine.routes.base import RouteError
from pytest_ibmodels.instabase.errors import InstabaseError
from pytest_ibmodels.verdicts.checks import MetricsVerdict
from pytest_ibmodels.verdicts.comparison import ComparisonError, read_comparison
from pytest_ibmodels.verdicts.metrics import check_metrics
from pytest_ibmodels.verdicts.parts import read_test_part

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.engine.polling import JobTimer, Limits
    from pytest_ibmodels.engine.routes.base import Route, RunContext, TrainingState
    from pytest_ibmodels.spec import ModelTest


def judge_training(run: Run, route: Route, state: TrainingState) -> MetricsVerdict:
    """Keep what an ended training reported in ``run``, and hold its metrics to their bounds."""
    test = run.case.test
    run.metrics, run.intervals, run.peak_memory = state.metrics, state.intervals, state.peak_memory
    run.test_part, problem = read_test_part(state.test_part)
    if problem:
        run.notes.append(f"the test part that the training reported cannot be read: {problem}")
    bounds = {
        metric: {name: (bound.min, bound.max) for name, bound in fields.items()}
        for metric, fields in test.metrics.items()
    }
    verdict = check_metrics(state.metrics, bounds, state.intervals, run.test_part)
    checks, notes = route.extra_checks(test, state)
    run.notes += notes
    if state.comparison is not None:
        try:
            run.comparison = read_comparison(state.comparison)
        except ComparisonError as error:
            if not checks:  # a check of the comparison fails for the same reason
                run.notes.append(f"the comparison that the training reported cannot be read: {error}")
    return MetricsVerdict((*verdict.checks, *checks))


async def read_predictions(run: Run, route: Route, context: RunContext, test: ModelTest) -> None:
    """Keep the predictions of an ended training in ``run``; if they cannot be read, inference reports why."""
    with contextlib.suppress(InstabaseError, RouteError):
        run.predicted = await route.training_predictions(context, test)


def time_limit_failure(run: Run, timer: JobTimer, limits: Limits) -> TimeLimitFailure:
    """The failure of a training that is late by its timer."""
    progress = run.progress
    if timer.late == "queue":
        limit = limits.queue
        reason = f"the environment did not begin with the job within the queue limit of {limit:g} s"
    else:
        limit = run.case.test.time_limit
        reason = f"the job did not end within the time_limit of {limit:g} s"
    percent = "" if progress.fraction is None else f", {progress.fraction:.0%} done"
    reason += f"; its last state was {progress.state}{percent}"
    return TimeLimitFailure(reason, limit=limit, waited=timer.waited, cancelled=False)
