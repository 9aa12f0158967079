"""Calls of the project's hooks for one run, and the effect of their results on its phases."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.engine.failures import (
    CheckFailure,
    ConfigFailure,
    MetricsFailure,
    RunFailure,
    verdict_failure,
)
from pytest_ibmodels.hooks import FailedPhase, Phase, RunFacts
from pytest_ibmodels.reports.figures import figures
from pytest_ibmodels.verdicts.checks import MetricCheck
from pytest_ibmodels.verdicts.repeats import mean_values
from pytest_ibmodels.verdicts.reported import finite

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict

_RAISED = (Exception, pytest.fail.Exception, pytest.skip.Exception)
"""Exceptions of a hook that fail its run; Ctrl-C and ``pytest.exit`` end the session."""


class HookCalls:
    """Hooks of one run, each called at most once, on pytest's thread.

    Args:
        node: node of the case, which determines the ``conftest.py`` files whose hooks are called.
        judge: adds the verdict of the history to that of a training.
    """

    def __init__(
        self, node: pytest.Collector, run: Run, judge: Callable[[MetricsVerdict], MetricsVerdict] = lambda given: given
    ) -> None:
        self._node = node
        self._judge = judge
        self._run = run
        self._started = self._finished = False
        self._raised: BaseException | None = None

    def call_started(self) -> None:
        """Call ``run_started`` once the job is accepted. An exception is kept, and fails an item of this run."""
        if not self._started and self._run.job_id is not None:
            self._started = True
            self._call("pytest_ibmodels_run_started")

    def failure(self, phase: Phase) -> BaseException | None:
        """Return why an ended phase failed, by itself or by a check of the project; None if it passed."""
        self.call_started()
        if phase not in self._run.judged:
            self._run.judged[phase] = self._judged(phase, getattr(self._run, phase))
        outcome = self._run.judged[phase]
        return outcome if isinstance(outcome, BaseException) else None

    def conclude(self, phase: Phase, *, last: bool) -> None:
        """Conclude a phase, and the run if this is its last phase.

        Raises:
            BaseException: the phase failed, or a hook raised.
        """
        failure = self.failure(phase)
        if (last or failure is not None) and not self._finished:
            self._finished = True
            self._call("pytest_ibmodels_run_finished")
        raised, self._raised = self._raised, None
        if failure is not None and raised is not None:
            self._note(raised)
        error = failure or raised
        if error is not None:
            __tracebackhide__ = True
            if isinstance(error, RunFailure):
                error.run = self._run
            raise error

    def _call(self, name: str) -> None:
        try:
            getattr(self._node.ihook, name)(config=self._node.config, run=self._facts())
        except _RAISED as error:
            self._raised = error.with_traceback(_frames_of_hook(error.__traceback__))

    def _judged(self, phase: Phase, future: Future[Any]) -> MetricsVerdict | PredictionsVerdict | BaseException:
        exception = future.exception()
        if exception is not None:
            return exception
        verdict: Any = future.result()
        if phase == "training":
            verdict = self._judge(verdict)
        failure = verdict_failure(verdict)
        try:
            checks, sentences = self._call_verdict(phase, failure)
        except _RAISED as error:
            raised = error.with_traceback(_frames_of_hook(error.__traceback__))
            if failure is None:
                return raised
            self._note(raised)
            return failure
        verdict = replace(verdict, checks=(*verdict.checks, *checks))
        reasons = [*(_sentence(check) for check in checks if not check.passed), *sentences]
        if failure is None:
            return CheckFailure("; ".join(reasons), verdict) if reasons else verdict
        if isinstance(failure, MetricsFailure):
            return MetricsFailure("; ".join([verdict.what_failed, *sentences]), verdict)
        return type(failure)("; ".join([failure.reason, *reasons]), verdict)

    def _call_verdict(self, phase: Phase, failure: RunFailure | None) -> tuple[list[MetricCheck], list[str]]:
        facts = self._facts(None if failure is None else FailedPhase(phase, failure.kind, failure.reason))
        results = self._node.ihook.pytest_ibmodels_verdict(config=self._node.config, run=facts, phase=phase)
        given = [one for result in results for one in _each(result)]
        checks = [one for one in given if isinstance(one, MetricCheck)]
        return checks, [one for one in given if isinstance(one, str)]

    def _note(self, raised: BaseException) -> None:
        """Add a hook's exception to the report of a phase that has failed anyway."""
        lines = "".join(traceback.format_exception(raised)).rstrip()
        self._run.notes.append(f"a hook raised, too:\n{lines}")

    def _facts(self, failure: FailedPhase | None = None) -> RunFacts:
        run = self._run
        return RunFacts(
            test=run.case.test,
            environment=run.case.environment,
            host=run.host,
            package=run.package,
            job_id=run.job_id,
            metrics=_mean_metrics(run) if run.repeats else _numbers(run.metrics),
            predictions={} if run.predicted is None else run.predicted.texts,
            differences=_differences(run.inference),
            seconds=dict(run.seconds),
            failure=failure or self._failed_phase(),
        )

    def _failed_phase(self) -> FailedPhase | None:
        for phase, outcome in self._run.judged.items():
            if isinstance(outcome, RunFailure):
                return FailedPhase(phase, outcome.kind, outcome.reason)
            if isinstance(outcome, BaseException):
                return FailedPhase(phase, "error", f"{type(outcome).__name__}: {outcome}")
        return None


def _frames_of_hook(frames: TracebackType | None) -> TracebackType | None:
    """Skip the frames of this plugin and of pluggy; return the project's own frames."""
    while frames is not None and frames.tb_next is not None:
        if frames.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in {"pluggy", "pytest_ibmodels"}:
            break
        frames = frames.tb_next
    return frames


def _each(result: object) -> list[MetricCheck | str]:
    given: list[Any] = list(result) if isinstance(result, Iterable) and not isinstance(result, str) else [result]
    for one in given:
        if not isinstance(one, MetricCheck | str):
            raise ConfigFailure(
                f"a hook pytest_ibmodels_verdict returned {one!r}: it should return MetricChecks and sentences"
            )
        if isinstance(one, MetricCheck) and not _is_reportable(one):
            raise ConfigFailure(
                f"a hook pytest_ibmodels_verdict returned {one!r}: `metric` and `field` should be texts, `minimum`, "
                "`maximum` and `observed` numbers or None"
            )
    return given


def _is_reportable(check: MetricCheck) -> bool:
    numbers = [given for given in (check.minimum, check.maximum, check.observed) if given is not None]
    texts = (check.metric, check.field, check.problem)
    # numpy's numbers have `__float__`, too.
    return all(isinstance(text, str) for text in texts) and all(
        not isinstance(number, str | bytes) and hasattr(number, "__float__") for number in numbers
    )


def _sentence(check: MetricCheck) -> str:
    if check.observed is None:
        return f"{check.metric} of {check.field}: {check.problem}"
    written = figures(check)
    if check.minimum is not None and check.observed < check.minimum:
        return f"{check.metric} of {check.field} is {written.observed}, below its minimum of {written.minimum}"
    return f"{check.metric} of {check.field} is {written.observed}, above its maximum of {written.maximum}"


def _differences(future: Future[PredictionsVerdict]) -> tuple[Any, ...]:
    has_verdict = future.done() and not future.cancelled() and future.exception() is None
    return future.result().differences if has_verdict else ()


def _mean_metrics(run: Run) -> dict[str, dict[str, float]]:
    means: dict[str, dict[str, float]] = {}
    for metric, name, value, _ in mean_values([(one.metrics, one.intervals) for one in run.trainings]):
        means.setdefault(metric, {})[name] = value
    return means


def _numbers(reported: object) -> dict[str, dict[str, float]]:
    if not isinstance(reported, Mapping):
        return {}
    return {
        str(metric): {str(name): number for name, value in fields.items() if (number := finite(value)) is not None}
        for metric, fields in reported.items()
        if isinstance(fields, Mapping)
    }
