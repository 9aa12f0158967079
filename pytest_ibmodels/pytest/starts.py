"""Starting the runs of cases: of the case that an item asks for, and with it all others whose items cannot object.

A case takes what it is started with (package, environment, the model test itself, the engine) from fixtures as its own
node sees them. pytest gives fixtures to the item that runs only. So a case is started together with another one if
both get the same from all of them; else its own item starts it.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.engine.case import Case, Run
from pytest_ibmodels.engine.engine import Engine
from pytest_ibmodels.engine.failures import RunFailure
from pytest_ibmodels.packaging import Package
from pytest_ibmodels.pytest import fixture_lookup
from pytest_ibmodels.pytest.collection import (
    CaseNode,
    PhaseItem,
    case_node,
    selected_phases,
)
from pytest_ibmodels.pytest.fixture_lookup import checked
from pytest_ibmodels.pytest.general_fixtures import built_package
from pytest_ibmodels.pytest.hook_calls import HookCalls
from pytest_ibmodels.pytest.progress import emit
from pytest_ibmodels.pytest.reporting import (
    RUN,
    outcomes_of,
    reported,
)
from pytest_ibmodels.spec import Environment, EnvironmentWarning, ModelTest, environment_warnings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_ibmodels.hooks import Phase

ALL_CALLS: pytest.StashKey[list[HookCalls]] = pytest.StashKey()
"""On the config: the hook calls of all runs that were started."""
_STARTED: pytest.StashKey[Started] = pytest.StashKey()
"""On the node of a case."""
_WARNED: pytest.StashKey[set[str]] = pytest.StashKey()
"""The names of environments whose entries were warned of."""
_SAID: pytest.StashKey[set[str]] = pytest.StashKey()
"""Why cases are started one by one, as far as it was said."""
_OF_A_CASE = ("environment", "model_test", "training_run", "inference_run")
_KNOW_THE_CASE = {"request", *_OF_A_CASE}
_HOOKS = ("pytest_runtest_protocol", "pytest_runtest_setup", "pytest_runtest_call", "pytest_pyfunc_call")
"""By which a project can keep an item from running."""


@dataclass(frozen=True)
class Started:
    """The latest run of a case."""

    run: Run
    engine: Engine
    calls: HookCalls
    attempt: int = 1


@dataclass(frozen=True)
class Asking:
    """A phase's item asks for the run of its case.

    Attributes:
        request: of the fixture that the item has.
        engine, environment, test: the values of ``model_engine``, ``environment`` and ``model_test`` for this case,
            whatever a ``conftest.py`` made of them.
    """

    request: pytest.FixtureRequest
    phase: Phase
    engine: Any
    environment: Any
    test: Any

    @property
    def node(self) -> CaseNode:
        return case_node(self.request)


def started_run(asking: Asking) -> Started:
    """The run of the asking item's case; starts it, and others of its environment, if need be.

    An item that pytest runs again after it was reported is another attempt, and trains again.

    Raises:
        ConfigFailure: a fixture does not return what it should, or the package of this case cannot be built. A fault
            in that of another case is left to its items.
    """
    node = asking.node
    before = node.stash.get(_STARTED, None)
    if before is not None and not _is_over(before, asking):
        return before
    test = checked(asking.test, ModelTest, "model_test", node)
    environment = checked(asking.environment, Environment, "environment", node)
    engine = checked(asking.engine, Engine, "model_engine", node)
    package = _package(asking, test)
    _warn(asking.request.config, environment)
    selected = selected_phases(asking.request.session)
    mine = selected.get(node, {})
    case = Case(test, environment.name, with_inference="inference" in mine or asking.phase == "inference")
    if before is not None:
        return _start(node, engine, environment, case, package, before)
    others = _Others(asking, engine, mine.get(asking.phase))
    for other, items in selected.items():
        if other is node:
            _start(node, engine, environment, case, package)
        elif other.environment.name == node.environment.name and _STARTED not in other.stash:
            others.start(other, items)
    others.tell()
    return node.stash[_STARTED] if _STARTED in node.stash else _start(node, engine, environment, case, package)


def _is_over(before: Started, asking: Asking) -> bool:
    """Whether the item needs another run than the one that there is."""
    lacks_inference = asking.phase == "inference" and not before.run.case.with_inference
    was_reported = asking.phase in reported(asking.node) and asking.phase in before.run.judged
    return before.engine is not asking.engine or lacks_inference or was_reported


def _start(
    node: CaseNode,
    engine: Engine,
    environment: Environment,
    case: Case,
    package: Package,
    before: Started | None = None,
) -> Started:
    attempt = 1 if before is None else before.attempt + 1
    key = node.nodeid if before is None else f"{node.nodeid} (attempt {attempt})"
    engine.start(environment, {key: case}, package)
    run = engine.run(key)
    if before is not None:
        run.notes.append(f"attempt {attempt}: trained again, as pytest ran the item again; before: {_end_of(before)}")
    started = node.stash[_STARTED] = Started(run, engine, HookCalls(node, run), attempt)
    node.stash[RUN] = run
    node.config.stash.setdefault(ALL_CALLS, []).append(started.calls)
    return started


def _end_of(before: Started) -> str:
    failed = [outcome for outcome in before.run.judged.values() if isinstance(outcome, BaseException)]
    end = "passed"
    if failed:
        end = f"{failed[0].kind}: {failed[0].reason}" if isinstance(failed[0], RunFailure) else repr(failed[0])
    return f"job {before.run.job_id}, {end}" if before.run.job_id else end


class _Others:
    """Starts cases whose items have not asked yet, if nothing of the project decides for them by case."""

    def __init__(self, asking: Asking, engine: Engine, item: PhaseItem | None) -> None:
        self._asking = asking
        self._engine = engine
        self._item = item
        self._reasons: dict[tuple[object, ...], str] = {}
        self._waiting: dict[str, int] = {}

    def start(self, other: CaseNode, items: Mapping[str, PhaseItem]) -> None:
        # All cases of a file see the same fixtures and hooks.
        key = (other.file, *items, other.model_test.package is None)
        if key not in self._reasons:
            self._reasons[key] = self._reason(other, items)
        if self._reasons[key]:
            self._waiting[self._reasons[key]] = self._waiting.get(self._reasons[key], 0) + 1
            return
        try:
            package = _package(self._asking, other.model_test)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):  # noqa: BLE001 - its own item will tell
            return
        case = Case(other.model_test, other.environment.name, with_inference="inference" in items)
        _start(other, self._engine, other.environment, case, package)

    def tell(self) -> None:
        """Say, once for each reason, that cases are not started together."""
        config = self._asking.request.config
        said = config.stash.setdefault(_SAID, set())
        for reason, count in self._waiting.items():
            if reason not in said:
                said.add(reason)
                more = f"{count} more model test{'s' * (count != 1)} on {self._asking.node.environment.name}"
                emit(config, outcomes_of(config).running, f"{more} not started before their turn: {reason}")

    def _reason(self, other: CaseNode, items: Mapping[str, PhaseItem]) -> str:
        """Why a case is left to its own item; empty if it need not be."""
        if self._item is None:
            return "fixtures of the item that runs are not known"
        for name in _OF_A_CASE:
            if not fixture_lookup.is_ours(fixture_lookup.used(other, name)):
                return f"the fixture `{name}` is overridden ({fixture_lookup.place(other, name) or 'not known where'})"
        shared = ("model_engine", "package") if other.model_test.package is None else ("model_engine",)
        for name in shared:
            if not self._is_shared(other, name):
                return f"the fixture `{name}` may be another one ({fixture_lookup.place(other, name) or 'not known'})"
        return next((reason for item in items.values() if (reason := self._objection(item))), "")

    def _is_shared(self, other: CaseNode, name: str) -> bool:
        mine, theirs = (fixture_lookup.used(node, name) for node in (self._asking.node, other))
        if mine is None or theirs is None:
            return False
        if fixture_lookup.is_ours(mine) and fixture_lookup.is_ours(theirs):
            return True
        is_kept = theirs.scope == "session" or (theirs.scope == "module" and other.file is self._asking.node.file)
        return mine is theirs and is_kept

    def _objection(self, item: PhaseItem) -> str:
        """What of the project may keep an item from running; empty if nothing may."""
        hook = project_hook(item)
        if hook:
            return f"{hook} may keep them from running"
        for name in item.fixturenames:
            definition = fixture_lookup.used(item, name)
            if definition is None or not fixture_lookup.is_projects_own(
                item.config, fixture_lookup.source(definition.func)
            ):
                continue
            knows_the_case = definition.scope != "session" and _KNOW_THE_CASE & set(definition.argnames)
            if knows_the_case or self._item is None or fixture_lookup.used(self._item, name) is not definition:
                place = fixture_lookup.place(item, name)
                return f"the fixture `{name}` ({place}) may keep them from running"
        return ""


def project_hook(item: pytest.Item) -> str:
    """A hook of the project by which it may keep an item from running; empty if there is none."""
    for name in _HOOKS:
        for implementation in getattr(item.ihook, name).get_hookimpls():
            file = getattr(implementation.plugin, "__file__", None)
            if file and fixture_lookup.is_projects_own(item.config, file):
                return f"`{name}` of {file}"
    return ""


def _warn(config: pytest.Config, environment: Environment) -> None:
    """Warn, once a session, of what is better not left so in an environment's entry."""
    warned = config.stash.setdefault(_WARNED, set())
    if environment.name not in warned:
        warned.add(environment.name)
        for warning in environment_warnings(environment, os.environ):
            # With the name of a file that can be opened, Python would show the line, and the token in it.
            warnings.warn_explicit(warning.message, EnvironmentWarning, f"<{warning.path.name}>", warning.line)


def _package(asking: Asking, test: ModelTest) -> Package:
    if test.package is None:
        # Only asked for where a model test needs it; a conftest.py may override it.
        return checked(asking.request.getfixturevalue("package"), Package, "package", asking.node)
    return built_package(asking.request.config, asking.request.config.rootpath / test.package)
