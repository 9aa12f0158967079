"""Waiting, on pytest's thread, for a run of the engine."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from typing import TYPE_CHECKING, ClassVar, cast

import pytest

from pytest_ibmodels.engine.engine import Engine
from pytest_ibmodels.engine.failures import RunFailure
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.engine.repeats import training_progress
from pytest_ibmodels.pytest import keys, options, xdist
from pytest_ibmodels.pytest.leftovers import open_journal
from pytest_ibmodels.pytest.nodes import selected_phases
from pytest_ibmodels.pytest.progress import emit
from pytest_ibmodels.pytest.progress_bar import is_possible, progress_bar
from pytest_ibmodels.pytest.progress_text import ProgressText, RemainingTime, state_words
from pytest_ibmodels.pytest.reporting import outcomes_of, reported
from pytest_ibmodels.pytest.starts import RunRequest, project_hook, start_run
from pytest_ibmodels.pytest.timeouts import overdue
from pytest_ibmodels.reports.figures import counted

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pytest_ibmodels.engine.case import Progress, Run
    from pytest_ibmodels.hooks import Phase
    from pytest_ibmodels.pytest.progress_bar import ProgressBar
    from pytest_ibmodels.pytest.starts import StartedRun
    from pytest_ibmodels.spec import Environment, ModelTest
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict

_STEP_SECONDS = 0.2
_FIRST_LINE_SECONDS = 1.5
_STOPS = "the session stops: --maxfail is reached"


def make_engine(config: pytest.Config) -> Engine:
    return Engine(
        Limits(
            longest_poll=options.positive_number(config, "ibmodels_longest_poll"),
            startup=options.positive_number(config, "ibmodels_startup_limit"),
            upload=options.positive_number(config, "ibmodels_upload_limit"),
            queue=options.positive_number(config, "ibmodels_queue_limit"),
            inference=options.positive_number(config, "ibmodels_inference_limit"),
        ),
        max_failures=config.getoption("maxfail") or 0,  # pytest uses None for no limit
        journal=open_journal(config),
        reattach=config.getoption("ibmodels_reattach"),
        portal=config.getoption("ibmodels_sandbox_portal"),
    )


def close_engine(config: pytest.Config, engine: Engine) -> None:
    """Close the engine and report what could not be removed."""
    outcomes = outcomes_of(config)
    for sentence in engine.close(interrupted=outcomes.interrupted):
        emit(config, outcomes.running, f"left behind: {sentence}")
    if engine.journal_problem:
        emit(config, outcomes.running, f"note: {engine.journal_problem}")


class _PhaseRun:
    """One phase of a run, for which an item waits."""

    phase: ClassVar[Phase]

    def __init__(
        self, request: pytest.FixtureRequest, engine: Engine, environment: Environment, test: ModelTest
    ) -> None:
        self._run_request = RunRequest(request, self.phase, engine, environment, test)
        self._node = self._run_request.node
        self._engine = engine
        self._config = request.config
        self._started: StartedRun | None = None
        self._remaining = RemainingTime()
        self._interval = options.positive_number(request.config, "ibmodels_progress_interval")

    @property
    def run(self) -> Run:
        """State of the run. Reading it starts the run if it has not been started."""
        return self._started_run().run

    def _started_run(self) -> StartedRun:
        if self._started is None:
            self._started = start_run(self._run_request)
        return self._started

    def _begin(self) -> None:
        """Start the run; not before the item's body runs, as a fixture or hook may have skipped the item.

        Raises:
            RunFailure: a fixture or setting is wrong.
        """
        # An item that is run again may get this object again.
        self._started = start_run(self._run_request)

    def _finish(self, future: Future[object]) -> None:
        """Wait in short steps, so that signals are handled, and show progress: as a bar, or as lines at intervals.

        Skip the item and stop this worker once the whole session has reached ``--maxfail``.
        """
        self._engine.want(self.run)
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(progress_bar(self._config)) if is_possible(self._config) else None
            self._wait_for(future, bar)

    def _wait_for(self, future: Future[object], bar: ProgressBar | None) -> None:
        begun = time.monotonic()
        due = begun + min(_FIRST_LINE_SECONDS, self._interval)
        shown: tuple[str, str] | None = None
        while not concurrent.futures.wait([future], timeout=_STEP_SECONDS).done:
            for calls in self._config.stash[keys.HOOK_CALLS]:
                calls.call_started()
            self._show_portals(bar)
            if xdist.is_to_stop(self._config):
                self._node.session.shouldstop = _STOPS
                pytest.skip(_STOPS)
            progress = training_progress(self.run)
            state = (progress.state, progress.repeats)
            now = time.monotonic()
            late = overdue(self._config)
            if late:
                self._engine.expire(self.run, late)
            if bar is not None and now >= due:
                bar.show(self._text(progress, begun))
            elif bar is None and (now >= due or (shown is not None and state != shown)):
                emit(self._config, outcomes_of(self._config).running, self._text(progress, begun).line())
                shown, due = state, now + self._interval

    def _show_portals(self, bar: ProgressBar | None) -> None:
        for environment, address in self._engine.new_portals():
            if bar is not None:
                bar.erase()
            text = f"portal of the sandbox {environment}, until the run ends: {address} (the code is for one sign-in)"
            emit(self._config, outcomes_of(self._config).running, text)

    def _text(self, progress: Progress, begun: float) -> ProgressText:
        run = self.run
        title = f"{run.case.test.name} on {run.case.environment}: {progress.phase}"
        is_training = progress.phase == "training"
        if run.reattached and is_training:
            title += f" (re-attached to job {run.job_id})"
        if is_training and self.phase == "inference":
            title += " (inference needs its model)"
        fraction = progress.fraction if is_training else None
        elapsed = time.monotonic() - (progress.since or begun)
        unfinished = self._engine.unfinished(run.case.environment) - (not run.training.done())
        return ProgressText(
            title,
            state_words(progress, run.case.test),
            fraction,
            elapsed,
            self._remaining.seconds(fraction, elapsed),
            progress.message,
            f"{counted(run.lost_answers, 'answer')} lost" if run.lost_answers else "",
            f"{unfinished} more to train" if unfinished else "",
        )

    def _conclude(self, phase: Phase, *, last: bool) -> None:
        __tracebackhide__ = True
        self._started_run().calls.conclude(phase, last=last)

    def _promote(self) -> None:
        """Promote the new model to the model in use; called only if all phases passed."""
        __tracebackhide__ = True
        promotion = self._engine.promote(self.run, force=self._config.getoption("ibmodels_promote_worse"))
        try:
            while not concurrent.futures.wait([promotion], timeout=_STEP_SECONDS).done:
                pass
            promotion.result()
        except RunFailure as failure:
            failure.run = self.run
            raise failure from None


class TrainingRun(_PhaseRun):
    """Training of a case."""

    phase = "training"

    def wait(self) -> MetricsVerdict:
        """Wait for the training's verdict.

        Raises:
            RunFailure: the training failed; the class tells how.
        """
        __tracebackhide__ = True
        self._begin()
        self._finish(self.run.training)  # type: ignore[arg-type]
        self._conclude("training", last=not self.run.case.with_inference)
        verdict = cast("MetricsVerdict", self.run.judged["training"])
        if verdict.baseline is not None and verdict.baseline.is_skip:
            pytest.skip(f"not decided against {verdict.baseline.name}: {verdict.baseline.why_undecided}")
        if not self.run.case.test.inference.enabled and self._config.getoption("ibmodels_promote"):
            self._promote()
        return verdict


class InferenceRun(_PhaseRun):
    """Inference of a case, after its training."""

    phase = "inference"

    def wait(self) -> PredictionsVerdict:
        """Wait for the inference's verdict; skip the item if the item of the training reports a failed training.

        Raises:
            RunFailure: the inference failed, or the training failed and no other item reports it.
        """
        __tracebackhide__ = True
        self._begin()
        self._finish(self.run.training)  # type: ignore[arg-type]
        cause = self._started_run().calls.failure("training")
        if cause is not None:
            self._skip_if_reported(cause)
            self._conclude("training", last=True)
        self._finish(self.run.inference)  # type: ignore[arg-type]
        self._conclude("inference", last=True)
        if self._config.getoption("ibmodels_promote"):
            self._promote()
        return cast("PredictionsVerdict", self.run.judged["inference"])

    def _skip_if_reported(self, cause: BaseException) -> None:
        """Skip this item if the item of the training has failed for the same cause, or will."""
        outcome = reported(self._node).get("training")
        if outcome is None:
            item = selected_phases(self._node.session).get(self._node, {}).get("training")
            is_reported = item is not None and not project_hook(item)
        else:
            is_reported = outcome["outcome"] in {"failed", "xfailed"}
        if is_reported:
            pytest.skip(f"its training failed ({cause.kind if isinstance(cause, RunFailure) else 'error'})")
