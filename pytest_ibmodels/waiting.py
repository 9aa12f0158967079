"""Between pytest's thread and the engine: starting the runs of an environment, and waiting for one of them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import threading
import time
import warnings
from typing import TYPE_CHECKING, ClassVar, cast

import pytest

from pytest_ibmodels import options, scheduling
from pytest_ibmodels.collection import CaseNode, selected_phases
from pytest_ibmodels.deadlines import overdue
from pytest_ibmodels.hook_calls import HookCalls
from pytest_ibmodels.packaging import PackageError, build_package
from pytest_ibmodels.recovery import journal_of
from pytest_ibmodels.reports.live import emit
from pytest_ibmodels.reports.outcomes import RUN, outcomes_of
from pytest_ibmodels.runs.case import Case, Run
from pytest_ibmodels.runs.engine import Engine
from pytest_ibmodels.runs.failures import ConfigFailure, RunFailure
from pytest_ibmodels.runs.limits import Limits
from pytest_ibmodels.spec import EnvironmentWarning, cautions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from pytest_ibmodels.hooks import Phase
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment
    from pytest_ibmodels.verdicts.metrics import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict

_CALLS: pytest.StashKey[HookCalls] = pytest.StashKey()
"""Of a case whose run is started, on its node."""
_ALL_CALLS: pytest.StashKey[list[HookCalls]] = pytest.StashKey()
_PACKAGES: pytest.StashKey[dict[str, Package]] = pytest.StashKey()
"""The packages that model tests name themselves, by their folders as written."""
_WARNED: pytest.StashKey[set[str]] = pytest.StashKey()
"""The names of environments whose entries were warned of."""
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


def started_run(request: pytest.FixtureRequest, engine: Engine, environment: Environment) -> Run:
    """The run of the asking item's case. If it is the environment's first, all its selected cases are started.

    Raises:
        ConfigFailure: the package of this case cannot be built. A fault in that of another case is left to its items.
    """
    mine = case_node(request)
    if RUN in mine.stash:
        return mine.stash[RUN]
    _warn(request.config, environment)
    for node, phases in selected_phases(request.session).items():
        if node.environment.name != environment.name or RUN in node.stash:
            continue
        try:
            package = _package(request, node.model_test.package)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):
            if node is mine:
                raise
            continue
        case = Case(node.model_test, environment.name, with_inference="inference" in phases)
        engine.start(environment, {node.nodeid: case}, package)
        run = node.stash[RUN] = engine.run(node.nodeid)
        node.stash[_CALLS] = HookCalls(node, run)
        request.config.stash.setdefault(_ALL_CALLS, []).append(node.stash[_CALLS])
    return mine.stash[RUN]


def _warn(config: pytest.Config, environment: Environment) -> None:
    """Warn, once a session, of what is better not left so in an environment's entry."""
    warned = config.stash.setdefault(_WARNED, set())
    if environment.name not in warned:
        warned.add(environment.name)
        for caution in cautions(environment, os.environ):
            # With the name of a file that can be opened, Python would show the line, and the token in it.
            warnings.warn_explicit(caution.message, EnvironmentWarning, f"<{caution.path.name}>", caution.line)


def _package(request: pytest.FixtureRequest, folder: str | None) -> Package:
    if folder is None:
        # Only asked for where a model test needs it; a conftest.py may override it.
        default: Package = request.getfixturevalue("package")
        return default
    built = request.config.stash.setdefault(_PACKAGES, {})
    if folder not in built:
        built[folder] = built_package(request.config.rootpath / folder)
    return built[folder]


def built_package(folder: Path) -> Package:
    """Zip a folder.

    Raises:
        ConfigFailure: it cannot be packaged.
    """
    try:
        return build_package(folder)
    except PackageError as error:
        raise ConfigFailure(str(error)) from None


class _PhaseRun:
    """One phase of a run, as an item waits for it."""

    phase: ClassVar[Phase]

    def __init__(self, request: pytest.FixtureRequest, engine: Engine, run: Run) -> None:
        self.run = run
        self._engine = engine
        self._config = request.config
        self._node = case_node(request)
        self._calls = self._node.stash[_CALLS]
        self._interval = options.seconds(request.config, "ibmodels_progress_interval")

    def _finish(self, future: Future[object]) -> None:
        """Wait in short steps, so that signals are seen; say now and then how far the run is.

        Skips the item, and stops this worker, once the session as a whole has failed often enough.
        """
        self._engine.want(self.run)
        begun = time.monotonic()
        due = begun + min(_FIRST_LINE_SECONDS, self._interval)
        said = ""
        while not concurrent.futures.wait([future], timeout=_STEP_SECONDS).done:
            for calls in self._config.stash[_ALL_CALLS]:
                calls.started()
            if scheduling.is_to_stop(self._config):
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
        try:
            self._calls.conclude(phase, last=last)
        except RunFailure as failure:
            failure.run = self.run
            raise failure from None


class TrainingRun(_PhaseRun):
    """The training of a case."""

    phase = "training"

    def wait(self) -> MetricsVerdict:
        """Wait for the training's verdict.

        Raises:
            RunFailure: it failed; the class says how.
        """
        __tracebackhide__ = True
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
        self._finish(self.run.training)  # type: ignore[arg-type]
        cause = self._calls.failure("training")
        if cause is not None:
            if "training" in selected_phases(self._node.session)[self._node]:
                pytest.skip(f"its training failed ({cause.kind if isinstance(cause, RunFailure) else 'error'})")
            self._conclude("training", last=True)
        self._finish(self.run.inference)  # type: ignore[arg-type]
        self._conclude("inference", last=True)
        if self._config.getoption("ibmodels_promote"):
            self._promote()
        return cast("PredictionsVerdict", self.run.judged["inference"])

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
