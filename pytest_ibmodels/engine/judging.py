"""Reading what a training reports while it runs, and judging it once it has ended or is late."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.curves import History
from pytest_ibmodels.engine.failures import TimeLimitFailure
from pytest_ibmodels.engine.routes.base import RouteError
from pytest_ibmodels.instabase.errors import InstabaseError
from pytest_ibmodels.verdicts.checks import MetricsVerdict
from pytest_ibmodels.verdicts.comparison import ComparisonError, read_comparison
from pytest_ibmodels.verdicts.metrics import check_metrics
from pytest_ibmodels.verdicts.parts import read_test_part
from pytest_ibmodels.verdicts.wrong import with_inputs

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.engine.polling import JobTimer, Limits
    from pytest_ibmodels.engine.routes.base import Route, RunContext, TrainingState
    from pytest_ibmodels.spec import ModelTest


def record_poll(run: Run, state: TrainingState) -> None:
    """Keep the progress, the curves and the placement that a poll saw in ``run``."""
    if state.placement.attempt is not None:
        if state.placement.attempt > (run.placement.attempt or 1):
            run.history = History()  # an attempt that was started again begins its curves anew
        run.placement = state.placement
    run.history.record(state.fraction, state.metrics, state.history)
    losses = [point.loss for point in run.history.points if point.loss is not None]
    progress = run.progress
    progress.state, progress.fraction, progress.message = state.name, state.fraction, state.message
    progress.loss, progress.metrics = losses[-1] if losses else None, state.metrics


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


async def read_predictions(
    run: Run, route: Route, context: RunContext, test: ModelTest, verdict: MetricsVerdict
) -> None:
    """Keep the predictions of an ended training in ``run``; if they cannot be read, inference reports why.

    The texts of wrong predictions are read, too, where reports may show them: if the metrics failed, or may fail by a
    baseline.
    """
    with contextlib.suppress(InstabaseError, RouteError):
        run.predicted = predicted = await route.training_predictions(context, test)
        if predicted.wrong and (not verdict.passed or test.baseline is not None):
            inputs = await route.training_inputs(context, test)
            run.predicted = replace(predicted, wrong=with_inputs(predicted.wrong, inputs))


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
