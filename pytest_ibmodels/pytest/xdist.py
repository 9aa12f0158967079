"""xdist: one environment, one worker; so that each environment is opened and pushed to once.

What is to be scheduled is known once a worker has collected: then the scheduler is replaced, if there are model tests.
``_split_scope`` and the attribute ``sched`` of xdist's session are not public API of xdist (its public way, ``--dist
loadgroup``, does nothing on pytest 9.2 with xdist 3.8). They are used here only, the range of xdist's versions is
bounded for it, and tests hold it.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.pytest import options

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


_STOP_FILE = "ibmodels_stop_file"
_KEPT_TOGETHER = ("load", "loadfile", "loadscope")
"""Values of ``--dist`` that give whole groups of tests to workers, or can: ``-n`` alone means ``load``."""

_WHY_NOT = {
    "each": "runs every test on every worker, so each would push the code and train for itself",
    "worksteal": "moves tests from worker to worker, so a model could be asked for where it was not trained",
    "loadgroup": "gives tests without a group to any worker, so a model could be asked for where it was not trained",
}


def configure(config: pytest.Config) -> None:
    """Prepare the controller of a session with workers; a session without has none."""
    if not options.controls_workers(config):
        return
    config.pluginmanager.register(Controller(config), "ibmodels-controller")
    maxfail: int = config.getoption("maxfail")
    if maxfail:
        config.pluginmanager.register(StopSignal(maxfail), "ibmodels-stop-signal")


class Controller:
    """Does what xdist's controller has to, once workers have found model tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found = False
        self._until_the_end = contextlib.ExitStack()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Called for each worker, before the scheduler gets what it collected.

        Raises:
            pytest.UsageError: the mode or the scheduler would take the phases of a model test apart.
        """
        cases = {case for nodeid in ids if (case := options.case_of(nodeid)) is not None}
        if not cases:
            return
        use_scheduler(self._config)
        if not self._found:
            self._found = True
            from pytest_ibmodels.pytest.phase_runs import sigterm_interrupts

            self._until_the_end.enter_context(sigterm_interrupts())
            self._announce({(environment, case.split("::")[-2]) for case, environment, _ in cases})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        with self._until_the_end:
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if options.journal_file(self._config).exists():
            from pytest_ibmodels.pytest import leftovers

            leftovers.sweep_after_workers(self._config, interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)

    def _announce(self, cases: set[tuple[str, str]]) -> None:
        """Say what an earlier session left running of these (environment, model test)."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not options.journal_file(self._config).exists():
            return
        from pytest_ibmodels.pytest import leftovers

        for line in leftovers.announcement(self._config, cases):
            reporter.ensure_newline()
            reporter.write_line(line)


class StopSignal:
    """The controller tells its workers when ``--maxfail`` is reached: by themselves they look between two tests only,
    and a worker may wait for a training much longer than that.

    Args:
        maxfail: the failures, on all workers, after which the session stops.
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
    """Whether this is a worker of a session that has failed often enough."""
    file: str | None = getattr(config, "workerinput", {}).get(_STOP_FILE)
    return file is not None and Path(file).exists()


def use_scheduler(config: pytest.Config) -> None:
    """Put a scheduler that keeps environments together in the place of xdist's, before that has got any test.

    Raises:
        pytest.UsageError: see :func:`check_mode`.
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
        """Model tests go by environment, all other tests as the mode says."""

        keeps_environments_together = True

        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid, mode)

    ours = EnvironmentScheduling(config, session.log)
    for node in theirs.nodes:
        ours.add_node(node)
    session.sched = ours


def check_mode(mode: str) -> None:
    """Refuse a ``--dist`` under which a model test's phases, or an environment's tests, would not stay together.

    Raises:
        pytest.UsageError: it does; the text names the mode to use.
    """
    if mode in _KEPT_TOGETHER:
        return
    reason = _WHY_NOT.get(mode, "is not known to keep the two phases of a model test on one worker")
    raise pytest.UsageError(
        f"--dist {mode}: {reason}; for model tests use --dist load, which -n means by itself: "
        "it gives each environment a worker of its own"
    )


def scope_of(nodeid: str, mode: str = "load") -> str:
    """What is given to a worker as a whole.

    Returns:
        The environment for a model test's id (``FILE::TEST::ENVIRONMENT::PHASE``); for another test, by ``mode``, its
        file, its class or module, or the id itself.
    """
    case = options.case_of(nodeid)
    if case is not None:
        return case[1]
    if mode == "loadfile":
        return nodeid.partition("::")[0]
    return nodeid.rsplit("::", 1)[0] if mode == "loadscope" else nodeid
