"""xdist: one environment, one worker; so that each environment is opened and pushed to once.

``_split_scope`` is not public API of xdist (its public way, ``--dist loadgroup``, does nothing on pytest 9.2 with
xdist 3.8). It is used here only, the range of xdist's versions is bounded for it, and tests hold it.
"""

from __future__ import annotations

import fnmatch
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels import options

if TYPE_CHECKING:
    from collections.abc import Iterator


_STOP_FILE = "ibmodels_stop_file"
_KEPT_TOGETHER = ("load", "loadfile", "loadscope")
"""Values of ``--dist`` that give whole groups of tests to workers, or can: ``-n`` alone means ``load``."""

_WHY_NOT = {
    "each": "runs every test on every worker, so each would push the code and train for itself",
    "worksteal": "moves tests from worker to worker, so a model could be asked for where it was not trained",
    "loadgroup": "gives tests without a group to any worker, so a model could be asked for where it was not trained",
}


def configure(config: pytest.Config) -> None:
    """Prepare the controller of a session with workers.

    Raises:
        pytest.UsageError: see :func:`check_mode`.
    """
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        return
    check_mode(config)
    maxfail: int = config.getoption("maxfail")
    if maxfail:
        config.pluginmanager.register(StopSignal(maxfail), "ibmodels-stop-signal")


def check_mode(config: pytest.Config) -> None:
    """Refuse a ``--dist`` under which a model test's phases, or an environment's tests, would not stay together.

    Raises:
        pytest.UsageError: it does, and this session may hold model tests; the text names the mode to use.
    """
    mode = config.getoption("dist")
    if mode in _KEPT_TOGETHER or not any(_holds_model_tests(config)):
        return
    reason = _WHY_NOT.get(mode, "is not known to keep the two phases of a model test on one worker")
    raise pytest.UsageError(
        f"--dist {mode}: {reason}; for model tests use --dist load, which -n means by itself: "
        "it gives each environment a worker of its own"
    )


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


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that keeps environments together, if this session may hold model tests; else xdist's own."""
    mode = config.getoption("dist")
    if mode not in _KEPT_TOGETHER or not any(_holds_model_tests(config)):
        return None
    from xdist.scheduler import LoadScopeScheduling

    class EnvironmentScheduling(LoadScopeScheduling):  # type: ignore[misc]
        """Model tests go by environment, all other tests as the mode says."""

        def _split_scope(self, nodeid: str) -> str:
            return scope_of(config, nodeid, mode)

    return EnvironmentScheduling(config, log)


def scope_of(config: pytest.Config, nodeid: str, mode: str = "load") -> str:
    """What is given to a worker as a whole.

    Returns:
        The environment for a model test's id (``FILE::TEST::ENVIRONMENT::PHASE``); for another test, by ``mode``, its
        file, its class or module, or the id itself.
    """
    path, _, rest = nodeid.partition("::")
    if options.is_model_tests_file(config, Path(path)) and rest.count("::") == 2:
        return rest.split("::")[1]
    if mode == "loadfile":
        return path
    return nodeid.rsplit("::", 1)[0] if mode == "loadscope" else nodeid


def holds_model_tests(config: pytest.Config) -> bool:
    """Whether what pytest was asked to collect has a file of model tests; a controller does not collect."""
    return any(_holds_model_tests(config))


def _holds_model_tests(config: pytest.Config) -> Iterator[bool]:
    for arg in config.args:
        path = config.invocation_params.dir / arg.partition("::")[0]
        if path.is_file():
            yield options.is_model_tests_file(config, path)
        else:
            skipped: list[str] = config.getini("norecursedirs")
            for _, folders, files in os.walk(path):
                folders[:] = [name for name in folders if not any(fnmatch.fnmatch(name, glob) for glob in skipped)]
                yield any(options.is_model_tests_file(config, Path(name)) for name in files)
