"""xdist: each environment gets one worker, so that it is opened and uploaded to once.

The scheduler is replaced after the first worker's collection, if it contains model tests. ``_split_scope`` and the
attribute ``sched`` of xdist's session are not public API (the public way, ``--dist loadgroup``, has no effect on pytest
9.2 with xdist 3.8). They are used here only; the range of xdist's versions is bounded, and tests cover them.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.pytest import options
from pytest_ibmodels.pytest.interrupts import sigterm_interrupts

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


_STOP_FILE = "ibmodels_stop_file"
_GROUPING_MODES = ("load", "loadfile", "loadscope")
"""Values of ``--dist`` that can give groups of tests to a worker; ``-n`` alone means ``load``."""

_WHY_NOT = {
    "each": "runs every test on every worker, so each would upload the code and train for itself",
    "worksteal": "moves tests from worker to worker, so inference could run where its model was not trained",
    "loadgroup": "gives tests without a group to any worker, so inference could run where its model was not trained",
}


def configure(config: pytest.Config) -> None:
    """Register the controller's plugins, if this process is the controller of a session with workers."""
    if not options.controls_workers(config):
        return
    config.pluginmanager.register(Controller(config), "ibmodels-controller")
    maxfail: int = config.getoption("maxfail")
    if maxfail:
        config.pluginmanager.register(StopSignal(maxfail), "ibmodels-stop-signal")


class Controller:
    """Plugin of xdist's controller: acts once workers have collected model tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found = False
        self._until_the_end = contextlib.ExitStack()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Replace the scheduler before it gets a worker's collection.

        Raises:
            pytest.UsageError: the mode or the scheduler would run the phases of a model test on different workers.
        """
        cases = {case for nodeid in ids if (case := options.case_of(nodeid)) is not None}
        if not cases:
            return
        use_scheduler(self._config)
        if not self._found:
            self._found = True
            self._until_the_end.enter_context(sigterm_interrupts())
            self._announce({(environment, case.split("::")[-2]) for case, environment, _ in cases})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        with self._until_the_end:
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self._found and self._has_journal():
            from pytest_ibmodels.pytest import leftovers

            leftovers.sweep_after_workers(self._config, interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)

    def _announce(self, cases: set[tuple[str, str]]) -> None:
        """Print the jobs that an earlier session left of these cases (environment, model test)."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not self._has_journal():
            return
        from pytest_ibmodels.pytest import leftovers

        for line in leftovers.announcement(self._config, cases):
            reporter.ensure_newline()
            reporter.write_line(line)

    def _has_journal(self) -> bool:
        from pytest_ibmodels.spec.project import journal_file

        return journal_file(self._config).exists()


class StopSignal:
    """Plugin with which the controller tells its workers that ``--maxfail`` is reached.

    xdist's workers check that between two tests only, and waiting for a training may take much longer.

    Args:
        maxfail: number of failures on all workers after which the session stops.
    """

    def __init__(self, maxfail: int) -> None:
        self._left = maxfail
        self._folder = tempfile.TemporaryDirectory(prefix="ibmodels-stop-")
        self._file = Path(self._folder.name) / "stop"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_STOP_FILE] = str(self._file)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._left -= report.failed
        if self._left <= 0:
            self._file.touch()

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()


def is_to_stop(config: pytest.Config) -> bool:
    """Return whether this process is a worker of a session that has reached ``--maxfail``."""
    file: str | None = getattr(config, "workerinput", {}).get(_STOP_FILE)
    return file is not None and Path(file).exists()


def use_scheduler(config: pytest.Config) -> None:
    """Replace xdist's scheduler, before it gets any test, by one that keeps environments together.

    Raises:
        pytest.UsageError: the mode or the scheduler of another plugin may separate the phases of a model test.
    """
    from xdist.scheduler import LoadFileScheduling, LoadScheduling, LoadScopeScheduling

    mode: str = config.getoption("dist")
    session: Any = config.pluginmanager.get_plugin("dsession")
    theirs = session.sched
    if getattr(theirs, "keeps_environments_together", False):
        return
    check_mode(mode)
    if type(theirs) not in {LoadFileScheduling, LoadScheduling, LoadScopeScheduling}:
        raise pytest.UsageError(
            f"the scheduler {type(theirs).__name__} of another plugin is not known to keep the two phases of a model "
            "test on one worker: run model tests without -n, or without that scheduler"
        )

    class EnvironmentScheduling(LoadScopeScheduling):  # type: ignore[misc]
        """Schedules model tests by environment, and all other tests by the mode."""

        keeps_environments_together = True

        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid, mode)

    ours = EnvironmentScheduling(config, session.log)
    for node in theirs.nodes:
        ours.add_node(node)
    session.sched = ours


def check_mode(mode: str) -> None:
    """Check that a mode of ``--dist`` keeps the tests of an environment together.

    Raises:
        pytest.UsageError: it does not; the message names the mode to use.
    """
    if mode in _GROUPING_MODES:
        return
    reason = _WHY_NOT.get(mode, "is not known to keep the two phases of a model test on one worker")
    raise pytest.UsageError(
        f"--dist {mode}: {reason}; for model tests use --dist load, which -n means by itself: "
        "it gives each environment a worker of its own"
    )


def scope_of(nodeid: str, mode: str = "load") -> str:
    """Return the scope of a test; xdist gives each scope to one worker.

    Returns:
        The environment of a model test (``FILE::TEST::ENVIRONMENT::PHASE``). For another test, depending on ``mode``,
        its file, its class or module, or the node id.
    """
    case = options.case_of(nodeid)
    if case is not None:
        return case[1]
    if mode == "loadfile":
        return nodeid.partition("::")[0]
    return nodeid.rsplit("::", 1)[0] if mode == "loadscope" else nodeid
