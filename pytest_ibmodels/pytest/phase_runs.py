"""Between pytest's thread and the engine: waiting for a run that an item asks for."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, ClassVar, cast

import pytest

from pytest_ibmodels.engine.engine import Engine
from pytest_ibmodels.engine.failures import RunFailure
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.pytest import options, xdist
from pytest_ibmodels.pytest.collection import selected_phases
from pytest_ibmodels.pytest.leftovers import journal_of
from pytest_ibmodels.pytest.progress import emit
from pytest_ibmodels.pytest.reporting import outcomes_of, reported
from pytest_ibmodels.pytest.starts import (
    ALL_CALLS,
    Asking,
    project_hook,
    started_run,
)
from pytest_ibmodels.pytest.timeouts import overdue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.hooks import Phase
    from pytest_ibmodels.pytest.starts import Started
    from pytest_ibmodels.spec import Environment, ModelTest
    from pytest_ibmodels.verdicts.metrics import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict

_STEP_SECONDS = 0.2
_FIRST_LINE_SECONDS = 1.5
_STOPS = "the session stops: --maxfail is reached"


def make_engine(config: pytest.Config) -> Engine:
    return Engine(
        Limits(
            longest_poll=options.seconds(config, "ibmodels_longest_poll"),
            startup=options.seconds(config, "ibmodels_startup_limit"),
            upload=options.seconds(config, "ibmodels_upload_limit"),
            queue=options.seconds(config, "ibmodels_queue_limit"),
            inference=options.seconds(config, "ibmodels_inference_limit"),
        ),
        max_failures=config.getoption("maxfail") or 0,  # pytest means the same by None
        journal=journal_of(config),
        reattach=config.getoption("ibmodels_reattach"),
    )


def close_engine(config: pytest.Config, engine: Engine) -> None:
    """Close the engine, and say what it had to leave behind."""
    outcomes = outcomes_of(config)
    for sentence in engine.close(interrupted=outcomes.interrupted):
        emit(config, outcomes.running, f"left behind: {sentence}")
    if engine.journal_problem:
        emit(config, outcomes.running, f"note: {engine.journal_problem}")


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM, by which CI servers end a job, do what Ctrl-C does: cancel the jobs, and remove what was pushed."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt("SIGTERM")


class _PhaseRun:
    """One phase of a run, as an item waits for it."""

    phase: ClassVar[Phase]

    def __init__(
        self, request: pytest.FixtureRequest, engine: Engine, environment: Environment, test: ModelTest
    ) -> None:
        self._asking = Asking(request, self.phase, engine, environment, test)
        self._node = self._asking.node
        self._engine = engine
        self._config = request.config
        self._started: Started | None = None
        self._interval = options.seconds(request.config, "ibmodels_progress_interval")

    @property
    def run(self) -> Run:
        """What is known of the run. Asking for it starts the run, if that has not been done."""
        return self._begun().run

    def _begun(self) -> Started:
        if self._started is None:
            self._started = started_run(self._asking)
        return self._started

    def _begin(self) -> None:
        """Start the run, as late as this: by now nothing has kept the item from running.

        Raises:
            RunFailure: it cannot be started as fixtures and settings are.
        """
        # An item that is run again may have this very object again.
        self._started = started_run(self._asking)

    def _finish(self, future: Future[object]) -> None:
        """Wait in short steps, so that signals are seen; say now and then how far the run is.

        Skips the item, and stops this worker, once the session as a whole has failed often enough.
        """
        self._engine.want(self.run)
        begun = time.monotonic()
        due = begun + min(_FIRST_LINE_SECONDS, self._interval)
        said = ""
        while not concurrent.futures.wait([future], timeout=_STEP_SECONDS).done:
            for calls in self._config.stash[ALL_CALLS]:
                calls.started()
            if xdist.is_to_stop(self._config):
                self._node.session.shouldstop = _STOPS
                pytest.skip(_STOPS)
            state = self.run.progress.state
            now = time.monotonic()
            late = overdue(self._config)
            if late:
                self._engine.expire(self.run, late)
            if now >= due or (said and state != said):
                emit(self._config, outcomes_of(self._config).running, self._line(begun))
                said, due = state, now + self._interval

    def _line(self, begun: float) -> str:
        progress = self.run.progress
        since = progress.since or begun
        parts = [f"{self.run.case.test.name} on {self.run.case.environment}: {progress.phase}", progress.state]
        if self.run.reattached and progress.phase == "training":
            parts[0] += f" (re-attached to job {self.run.job_id})"
        if progress.phase == "training" and self.phase == "inference":
            parts[0] += " (inference needs its model)"
        if progress.fraction is not None and progress.phase == "training":
            parts.append(f"{progress.fraction:.0%}")
        if self.run.lost_answers:
            parts.append(f"{self.run.lost_answers} answer{'s' * (self.run.lost_answers != 1)} lost")
        parts.append(f"{time.monotonic() - since:.0f} s")
        others = self._engine.unfinished(self.run.case.environment) - (not self.run.training.done())
        if others:
            parts.append(f"{others} more to train")
        return ", ".join(parts)

    def _conclude(self, phase: Phase, *, last: bool) -> None:
        __tracebackhide__ = True
        self._begun().calls.conclude(phase, last=last)


class TrainingRun(_PhaseRun):
    """The training of a case."""

    phase = "training"

    def wait(self) -> MetricsVerdict:
        """Wait for the training's verdict.

        Raises:
            RunFailure: it failed; the class says how.
        """
        __tracebackhide__ = True
        self._begin()
        self._finish(self.run.training)  # type: ignore[arg-type]
        self._conclude("training", last=not self.run.case.with_inference)
        return cast("MetricsVerdict", self.run.judged["training"])


class InferenceRun(_PhaseRun):
    """The inference of a case, which its training precedes."""

    phase = "inference"

    def wait(self) -> PredictionsVerdict:
        """Wait for the verdict; skip the item if the training failed and an item of its own has said so.

        Raises:
            RunFailure: it failed, or the training did and nobody else reports it.
        """
        __tracebackhide__ = True
        self._begin()
        self._finish(self.run.training)  # type: ignore[arg-type]
        cause = self._begun().calls.failure("training")
        if cause is not None:
            self._skip_if_reported(cause)
            self._conclude("training", last=True)
        self._finish(self.run.inference)  # type: ignore[arg-type]
        self._conclude("inference", last=True)
        if self._config.getoption("ibmodels_promote"):
            self._promote()
        return cast("PredictionsVerdict", self.run.judged["inference"])

    def _skip_if_reported(self, cause: BaseException) -> None:
        """Skip this item if that of the training has failed for the same cause, or will."""
        outcome = reported(self._node).get("training")
        if outcome is None:
            item = selected_phases(self._node.session).get(self._node, {}).get("training")
            is_told = item is not None and not project_hook(item)
        else:
            is_told = outcome["outcome"] in {"failed", "xfailed"}
        if is_told:
            pytest.skip(f"its training failed ({cause.kind if isinstance(cause, RunFailure) else 'error'})")

    def _promote(self) -> None:
        """Let the new model take the place of the one in use; only called where both phases passed."""
        __tracebackhide__ = True
        promotion = self._engine.promote(self.run, force=self._config.getoption("ibmodels_promote_worse"))
        try:
            while not concurrent.futures.wait([promotion], timeout=_STEP_SECONDS).done:
                pass
            promotion.result()
        except RunFailure as failure:
            failure.run = self.run
            raise failure from None
