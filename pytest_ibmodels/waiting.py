"""Between pytest's thread and the engine: starting the runs of an environment, and waiting for one of them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, ClassVar, Literal

import pytest

from pytest_ibmodels import options
from pytest_ibmodels.collection import CaseNode, selected_phases
from pytest_ibmodels.reports.live import emit
from pytest_ibmodels.reports.outcomes import RUN, outcomes_of
from pytest_ibmodels.runs.case import Case, Run
from pytest_ibmodels.runs.engine import Engine
from pytest_ibmodels.runs.failures import NotTrained, RunFailure
from pytest_ibmodels.runs.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment
    from pytest_ibmodels.verdicts.metrics import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict

_STEP_SECONDS = 0.2
_FIRST_LINE_SECONDS = 1.5


def make_engine(config: pytest.Config) -> Engine:
    return Engine(
        Limits(
            longest_poll=options.seconds(config, "ibmodels_longest_poll"),
            upload=options.seconds(config, "ibmodels_upload_limit"),
            inference=options.seconds(config, "ibmodels_inference_limit"),
        )
    )


def close_engine(config: pytest.Config, engine: Engine) -> None:
    """Close the engine, and say what it had to leave behind."""
    outcomes = outcomes_of(config)
    for sentence in engine.close(interrupted=outcomes.interrupted):
        emit(config, outcomes.running, f"left behind: {sentence}")


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


def case_node(request: pytest.FixtureRequest) -> CaseNode:
    """The case of the item that asks for a fixture; fails the item if it is not a model test."""
    node = request.node
    if not isinstance(node, CaseNode):
        asked = request.fixturename
        pytest.fail(f"the fixture {asked!r} belongs to model tests: {node.nodeid} is not one", pytrace=False)
    return node


def started_run(request: pytest.FixtureRequest, engine: Engine, package: Package, environment: Environment) -> Run:
    """The run of the asking item's case. If it is the environment's first, all its selected cases are started."""
    node = case_node(request)
    cases = {
        case.nodeid: Case(case.model_test, environment.name, with_inference="inference" in phases)
        for case, phases in selected_phases(request.session).items()
        if case.environment.name == environment.name
    }
    engine.start(environment, cases, package)
    run = node.stash[RUN] = engine.run(node.nodeid)
    return run


class _PhaseRun:
    """One phase of a run, as an item waits for it."""

    phase: ClassVar[Literal["training", "inference"]]

    def __init__(self, request: pytest.FixtureRequest, engine: Engine, run: Run) -> None:
        self.run = run
        self._engine = engine
        self._config = request.config
        self._node = case_node(request)
        self._interval = options.seconds(request.config, "ibmodels_progress_interval")

    def _finish(self, future: Future[object]) -> None:
        """Wait in short steps, so that signals are seen; say now and then how far the run is."""
        begun = time.monotonic()
        due = begun + min(_FIRST_LINE_SECONDS, self._interval)
        said = ""
        while not concurrent.futures.wait([future], timeout=_STEP_SECONDS).done:
            state = self.run.progress.state
            now = time.monotonic()
            if now >= due or (said and state != said):
                emit(self._config, outcomes_of(self._config).running, self._line(begun))
                said, due = state, now + self._interval

    def _line(self, begun: float) -> str:
        progress = self.run.progress
        since = progress.since or begun
        parts = [f"{self.run.case.test.name} on {self.run.case.environment}: {progress.phase}", progress.state]
        if progress.phase == "training" and self.phase == "inference":
            parts[0] += " (inference needs its model)"
        if progress.fraction is not None and progress.phase == "training":
            parts.append(f"{progress.fraction:.0%}")
        parts.append(f"{time.monotonic() - since:.0f} s")
        others = self._engine.unfinished(self.run.case.environment) - (not self.run.training.done())
        if others:
            parts.append(f"{others} more to train")
        return ", ".join(parts)

    def _failed(self, failure: RunFailure) -> RunFailure:
        failure.run = self.run
        return failure


class TrainingRun(_PhaseRun):
    """The training of a case."""

    phase = "training"

    def wait(self) -> MetricsVerdict:
        """Wait for the training's verdict.

        Raises:
            RunFailure: it failed; the class says how.
        """
        self._finish(self.run.training)  # type: ignore[arg-type]
        try:
            return self.run.training.result()
        except RunFailure as failure:
            raise self._failed(failure) from None


class InferenceRun(_PhaseRun):
    """The inference of a case, which its training precedes."""

    phase = "inference"

    def wait(self) -> PredictionsVerdict:
        """Wait for the verdict; skip the item if the training failed and an item of its own has said so.

        Raises:
            RunFailure: it failed, or the training did and nobody else reports it.
        """
        self._finish(self.run.inference)  # type: ignore[arg-type]
        try:
            return self.run.inference.result()
        except NotTrained as failure:
            if "training" in selected_phases(self._node.session)[self._node]:
                pytest.skip(failure.reason)
            raise self._failed(failure.cause) from None
        except RunFailure as failure:
            raise self._failed(failure) from None
