"""Starting runs: the run of the item that pytest executes, together with other cases of its environment.

A run needs the values of four fixtures (``package``, ``environment``, ``model_test``, ``model_engine``), as the node of
its case sees them, and pytest gives fixtures to the executing item only. So a case is started early if it would get the
same definitions of all fixtures and no code of the project can skip its items; otherwise its own item starts it.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.engine.case import Case, Run
from pytest_ibmodels.engine.engine import Engine
from pytest_ibmodels.engine.failures import ConfigFailure, RunFailure
from pytest_ibmodels.packaging import Package, PackageError, build_package
from pytest_ibmodels.pytest import keys
from pytest_ibmodels.pytest.fixture_lookup import checked, is_ours, is_projects_own, location, source, used
from pytest_ibmodels.pytest.history_judge import judged_by_history
from pytest_ibmodels.pytest.hook_calls import HookCalls
from pytest_ibmodels.pytest.nodes import CaseNode, PhaseItem, case_node, selected_phases
from pytest_ibmodels.pytest.progress import emit
from pytest_ibmodels.pytest.reporting import outcomes_of, reported
from pytest_ibmodels.spec import Environment, EnvironmentWarning, ModelTest, environment_warnings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_ibmodels.hooks import Phase

_STARTED: pytest.StashKey[StartedRun] = pytest.StashKey()
"""On the node of a case: its latest run."""
_PACKAGES: pytest.StashKey[dict[tuple[Path, bool], Package]] = pytest.StashKey()
"""On the config: folder, and whether its package.json has to be there → package."""
_WARNED: pytest.StashKey[set[str]] = pytest.StashKey()
"""On the config: names of environments whose warnings were given."""
_SHOWN: pytest.StashKey[set[str]] = pytest.StashKey()
"""On the config: reasons for not starting cases early that were shown."""
_CASE_FIXTURES = ("environment", "model_test", "training_run", "inference_run")
_KNOW_THE_CASE = {"request", *_CASE_FIXTURES}
_SKIPPING_HOOKS = ("pytest_runtest_protocol", "pytest_runtest_setup", "pytest_runtest_call", "pytest_pyfunc_call")
"""Hooks with which a project can skip an item."""


@dataclass(frozen=True)
class StartedRun:
    """Latest run of a case."""

    run: Run
    engine: Engine
    calls: HookCalls
    attempt: int = 1


@dataclass(frozen=True)
class RunRequest:
    """Request of a phase's item for the run of its case.

    Attributes:
        request: pytest's request of the item's fixture.
        engine, environment, test: values of ``model_engine``, ``environment`` and ``model_test`` for this case; of any
            type, as a ``conftest.py`` may override these fixtures.
    """

    request: pytest.FixtureRequest
    phase: Phase
    engine: Any
    environment: Any
    test: Any

    @property
    def node(self) -> CaseNode:
        return case_node(self.request)


def start_run(run_request: RunRequest) -> StartedRun:
    """Return the run of the item's case; start it, with other cases of its environment, if it has not been started.

    An item that pytest runs again after it was reported is a new attempt, and trains again.

    Raises:
        ConfigFailure: a fixture returned a value of a wrong type, or the package of this case cannot be built. Errors
            of other cases are left to their own items.
    """
    node = run_request.node
    before = node.stash.get(_STARTED, None)
    if before is not None and not _is_over(before, run_request):
        return before
    test = checked(run_request.test, ModelTest, "model_test", node)
    environment = checked(run_request.environment, Environment, "environment", node)
    engine = checked(run_request.engine, Engine, "model_engine", node)
    package = _package(run_request, test)
    _warn(run_request.request.config, environment)
    selected = selected_phases(run_request.request.session)
    mine = selected.get(node, {})
    with_inference = "inference" in mine or run_request.phase == "inference"
    case = Case(test, environment.name, with_inference, _repeats(run_request.request.config, test))
    if before is not None:
        return _start(node, engine, environment, case, package, before)
    others = _EarlyStarts(run_request, engine, mine.get(run_request.phase))
    for other, items in selected.items():
        if other is node:
            _start(node, engine, environment, case, package)
        elif other.environment.name == node.environment.name and _STARTED not in other.stash:
            others.start(other, items)
    others.show_reasons()
    return node.stash[_STARTED] if _STARTED in node.stash else _start(node, engine, environment, case, package)


def _is_over(before: StartedRun, run_request: RunRequest) -> bool:
    """Return whether the item needs another run than the latest one."""
    lacks_inference = run_request.phase == "inference" and not before.run.case.with_inference
    was_reported = run_request.phase in reported(run_request.node) and run_request.phase in before.run.judged
    return before.engine is not run_request.engine or lacks_inference or was_reported


def _start(
    node: CaseNode,
    engine: Engine,
    environment: Environment,
    case: Case,
    package: Package,
    before: StartedRun | None = None,
) -> StartedRun:
    attempt = 1 if before is None else before.attempt + 1
    key = node.nodeid if before is None else f"{node.nodeid} (attempt {attempt})"
    engine.start(environment, {key: case}, package)
    run = engine.run(key)
    if before is not None:
        run.notes.append(f"attempt {attempt}: trained again, as pytest ran the item again; before: {_end_of(before)}")
    started = node.stash[_STARTED] = StartedRun(
        run, engine, HookCalls(node, run, partial(judged_by_history, node, run)), attempt
    )
    node.stash[keys.RUN] = run
    node.config.stash.setdefault(keys.HOOK_CALLS, []).append(started.calls)
    return started


def _end_of(before: StartedRun) -> str:
    failed = [outcome for outcome in before.run.judged.values() if isinstance(outcome, BaseException)]
    end = "passed"
    if failed:
        end = f"{failed[0].kind}: {failed[0].reason}" if isinstance(failed[0], RunFailure) else repr(failed[0])
    return f"job {before.run.job_id}, {end}" if before.run.job_id else end


class _EarlyStarts:
    """Starts cases before their items run, unless code of the project may decide about each case separately."""

    def __init__(self, run_request: RunRequest, engine: Engine, item: PhaseItem | None) -> None:
        self._run_request = run_request
        self._engine = engine
        self._item = item
        self._reasons: dict[tuple[object, ...], str] = {}
        self._waiting: dict[str, int] = {}  # reason → number of cases

    def start(self, other: CaseNode, items: Mapping[str, PhaseItem]) -> None:
        # All cases of a file see the same fixtures and hooks.
        key = (other.file, *items, other.model_test.package is None)
        if key not in self._reasons:
            self._reasons[key] = self._reason(other, items)
        if self._reasons[key]:
            self._waiting[self._reasons[key]] = self._waiting.get(self._reasons[key], 0) + 1
            return
        try:
            package = _package(self._run_request, other.model_test)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):  # noqa: BLE001 - its own item will report it
            return
        repeats = _repeats(self._run_request.request.config, other.model_test)
        case = Case(other.model_test, other.environment.name, "inference" in items, repeats)
        _start(other, self._engine, other.environment, case, package)

    def show_reasons(self) -> None:
        """Show, once for each reason, that cases are not started early."""
        config = self._run_request.request.config
        shown = config.stash.setdefault(_SHOWN, set())
        for reason, count in self._waiting.items():
            if reason not in shown:
                shown.add(reason)
                more = f"{count} more model test{'s' * (count != 1)} on {self._run_request.node.environment.name}"
                emit(config, outcomes_of(config).running, f"{more} not started before their turn: {reason}")

    def _reason(self, other: CaseNode, items: Mapping[str, PhaseItem]) -> str:
        """Return why a case has to be started by its own item; empty if it can be started early."""
        if self._item is None:
            return "fixtures of the item that runs are not known"
        for name in _CASE_FIXTURES:
            if not is_ours(used(other, name)):
                return f"the fixture `{name}` is overridden ({location(other, name) or 'not known where'})"
        shared = ("model_engine", "package") if other.model_test.package is None else ("model_engine",)
        for name in shared:
            if not self._is_shared(other, name):
                return f"the fixture `{name}` may be another one ({location(other, name) or 'not known'})"
        return next((reason for item in items.values() if (reason := self._objection(item))), "")

    def _is_shared(self, other: CaseNode, name: str) -> bool:
        mine, theirs = (used(node, name) for node in (self._run_request.node, other))
        if mine is None or theirs is None:
            return False
        if is_ours(mine) and is_ours(theirs):
            return True
        is_kept = theirs.scope == "session" or (theirs.scope == "module" and other.file is self._run_request.node.file)
        return mine is theirs and is_kept

    def _objection(self, item: PhaseItem) -> str:
        """Return which code of the project may skip an item; empty if there is none."""
        hook = project_hook(item)
        if hook:
            return f"{hook} may keep them from running"
        for name in item.fixturenames:
            definition = used(item, name)
            if definition is None or not is_projects_own(item.config, source(definition.func)):
                continue
            knows_the_case = definition.scope != "session" and _KNOW_THE_CASE & set(definition.argnames)
            if knows_the_case or self._item is None or used(self._item, name) is not definition:
                return f"the fixture `{name}` ({location(item, name)}) may keep them from running"
        return ""


def project_hook(item: pytest.Item) -> str:
    """Return a hook of the project that may skip an item; empty if there is none."""
    for name in _SKIPPING_HOOKS:
        for implementation in getattr(item.ihook, name).get_hookimpls():
            file = getattr(implementation.plugin, "__file__", None)
            if file and is_projects_own(item.config, file):
                return f"`{name}` of {file}"
    return ""


def _warn(config: pytest.Config, environment: Environment) -> None:
    """Give the warnings about an environment's entry, once a session."""
    warned = config.stash.setdefault(_WARNED, set())
    if environment.name not in warned:
        warned.add(environment.name)
        for warning in environment_warnings(environment, os.environ):
            # If the file name could be opened, Python would show the source line, and the token in it.
            warnings.warn_explicit(warning.message, EnvironmentWarning, f"<{warning.path.name}>", warning.line)


def _repeats(config: pytest.Config, test: ModelTest) -> int:
    """Return the number of trainings of a case."""
    given: int | None = config.getoption("ibmodels_model_repeats")
    return test.repeats if given is None else given


def _package(run_request: RunRequest, test: ModelTest) -> Package:
    if test.package is None:
        # Requested only if a model test needs it; a conftest.py may override it.
        return checked(run_request.request.getfixturevalue("package"), Package, "package", run_request.node)
    folder = run_request.request.config.rootpath / test.package
    return built_package(run_request.request.config, folder, described=test.script is None)


def built_package(config: pytest.Config, folder: Path, *, described: bool = True) -> Package:
    """Return the package of a folder, built once a process; if it is not ``described``, package.json may be missing.

    Raises:
        ConfigFailure: the folder cannot be packaged.
    """
    built = config.stash.setdefault(_PACKAGES, {})
    key = folder, described
    if key not in built:
        try:
            built[key] = build_package(folder, described=described)
        except PackageError as error:
            raise ConfigFailure(str(error)) from None
    return built[key]
