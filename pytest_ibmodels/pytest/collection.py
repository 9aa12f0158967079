"""``model_tests.yaml`` → a node per model test → a node per environment → the two items.

The items are ordinary test functions of `ModelTestPhases`, so ``-k``, ``-m``, ``--lf``,
node ids, fixtures and marks work on them as on any other test. Nothing is started here.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.pytest import general_fixtures, options
from pytest_ibmodels.pytest.marks import add_marks
from pytest_ibmodels.pytest.phases import ModelTestPhases
from pytest_ibmodels.pytest.skipping import is_kept_from_running
from pytest_ibmodels.redaction import remember
from pytest_ibmodels.reports.lines import CollectionText
from pytest_ibmodels.spec import SpecError, load, load_environments, looks_like_model_tests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_ibmodels.spec import Environment, EnvironmentsFile, ModelTest

_PHASES = ("test_training", "test_inference")
_BACKSTOP_SECONDS = 120.0


class ModelTestsNode(pytest.Module):
    """The YAML file. It is a Module, for module-scoped fixtures; what it holds comes from the spec."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.obj = ModuleType(self.nodeid, "Model tests, collected from YAML.")
        self.obj.__file__ = str(self.path)
        self.config.stash[options.ACTIVE] = True
        general_fixtures.register_for(self)
        self._fixture_infos: dict[str, Any] = {}

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield the nodes of the model tests; at once their items, where no node id asks for some of them.

        pytest finds a node id level by level, so then it needs every level. Otherwise the levels are only the items'
        parents: reporting each of them as collected would take a third of the whole collection.
        """
        for node in self._model_test_nodes():
            if any("::" in argument for argument in self.config.args):
                yield node
            else:
                yield from (item for case in node.collect() for item in case.collect())

    def _model_test_nodes(self) -> Iterator[ModelTestNode]:
        try:
            missing = options.environments_missing(self.config)
            tests, environments = load(self.path, options.environments_path(self.config), missing=missing)
        except SpecError as error:
            raise self.CollectError(str(error)) from None
        nodes = [
            ModelTestNode.from_parent(self, name=test.name, file=self, model_test=test, environments=environments)
            for test in tests.tests.values()
        ]
        problems = [problem for node in nodes for problem in add_marks(node, node.model_test)]
        if problems:
            raise self.CollectError(str(SpecError(problems)))
        yield from nodes

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        text = super().repr_failure(excinfo)
        return CollectionText(text) if isinstance(text, str) else text

    def phase_item(self, case: CaseNode, name: str) -> PhaseItem:
        """An item of a case. All cases of a file see the same fixtures, so these are looked up once, not per item."""
        item = PhaseItem.from_parent(case, name=name, fixtureinfo=self._fixture_infos.get(name))
        # pytest shares this object between the variants of a parametrized test, through the same argument; the
        # attribute itself is not documented, and without it collecting takes half as long again.
        self._fixture_infos.setdefault(name, getattr(item, "_fixtureinfo", None))
        return item


class ModelTestNode(pytest.Class):
    """One entry of the file."""

    def __init__(
        self, *, file: ModelTestsNode, model_test: ModelTest, environments: EnvironmentsFile, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.obj = ModelTestPhases
        self.file = file
        self.model_test = model_test
        self.environments = environments

    def collect(self) -> Iterator[CaseNode]:
        for name in self.model_test.env:
            environment = self.environments.environments[name]
            yield CaseNode.from_parent(
                self, name=name, file=self.file, model_test=self.model_test, environment=environment
            )


class CaseNode(pytest.Class):
    """One model test on one environment."""

    def __init__(self, *, file: ModelTestsNode, model_test: ModelTest, environment: Environment, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.obj = ModelTestPhases
        self.file = file
        self.model_test = model_test
        self.environment = environment

    def collect(self) -> Iterable[PhaseItem]:
        return [self.file.phase_item(self, name) for name in _PHASES]


class PhaseItem(pytest.Function):
    """``test_training`` or ``test_inference`` of a case; it points at the line of its entry in the YAML file."""

    @property
    def case(self) -> CaseNode:
        assert isinstance(self.parent, CaseNode)  # noqa: S101 - only a CaseNode makes these
        return self.parent

    @property
    def phase(self) -> str:
        """``training`` or ``inference``."""
        return self.name.removeprefix("test_")

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        case = self.case
        title = f"{case.model_test.name} on {case.environment.name}: {self.phase}"
        return self.path, case.model_test.line - 1, title


def is_ours(path: Path, session: pytest.Session) -> bool:
    """Whether a file with the name of model tests is one of this plugin: other tools may use that name, too.

    A file that was asked for by its path is taken for ours, and so are those of a project that has settings for the
    plugin or a file of environments. Else it has to have an entry that looks like a model test.
    """
    config = session.config
    if session.isinitpath(path) or options.has_settings(config) or not options.environments_missing(config):
        return True
    if looks_like_model_tests(path):
        return True
    config.stash.setdefault(options.NOT_OURS, []).append(bestrelpath(config, path))
    return False


def bestrelpath(config: pytest.Config, path: Path) -> str:
    """A path as messages show it: from the root folder, if it is below."""
    return str(path.relative_to(config.rootpath) if path.is_relative_to(config.rootpath) else path)


def case_node(request: pytest.FixtureRequest) -> CaseNode:
    """The case of the item that asks for a fixture; fails the item if it is not a model test."""
    node = request.node
    if not isinstance(node, CaseNode):
        asked = request.fixturename
        pytest.fail(f"the fixture {asked!r} belongs to model tests: {node.nodeid} is not one", pytrace=False)
    return node


def check_chosen_environments(config: pytest.Config) -> None:
    """Raise UsageError if ``--env`` names an environment that is not there."""
    try:
        known = load_environments(options.environments_path(config)).environments
    except SpecError:
        return  # the collection of the model tests reports it, with every other error
    unknown = [name for name in options.chosen_environments(config) if name not in known]
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        missing = options.environments_missing(config)
        where = options.environments_path(config).name
        raise pytest.UsageError(
            f"{options.spelled(config, 'env')} {names}: no such environment in {where}; known are: {', '.join(known)}"
            f"{'. ' * bool(missing)}{missing}"
        )


def deselect_other_environments(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep, of the model tests, those on the environments chosen with ``--env``; other tests stay."""
    chosen = options.chosen_environments(config)
    dropped = [item for item in items if isinstance(item, PhaseItem) and item.case.environment.name not in chosen]
    if dropped:
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=dropped)


def selected_phases(session: pytest.Session) -> dict[CaseNode, dict[str, PhaseItem]]:
    """Case → phase → its item, in the order of the items, without those that marks keep from running."""
    selected: dict[CaseNode, dict[str, PhaseItem]] = {}
    for item in session.items:
        if isinstance(item, PhaseItem) and not is_kept_from_running(item):
            selected.setdefault(item.case, {})[item.phase] = item
    return selected


def remember_secrets(session: pytest.Session) -> None:
    """Hide the secrets of all environments from now on, whether or not something is asked of them."""
    environments = {
        item.case.environment.name: item.case.environment for item in session.items if isinstance(item, PhaseItem)
    }
    for environment in environments.values():
        remember(*environment.secrets(os.environ))


def cases_of(items: Iterable[pytest.Item]) -> set[tuple[str, str]]:
    """Environment and model test of all cases among items."""
    return {(item.case.environment.name, item.case.model_test.name) for item in items if isinstance(item, PhaseItem)}


def set_backstop(session: pytest.Session) -> None:
    """Give the model tests a timeout of pytest-timeout that only fires if ours did not.

    The engine keeps the limits itself, and knows what it does when they are over. Behind it stands the time that all
    cases of an environment would take one after the other.
    """
    if not session.config.pluginmanager.has_plugin("timeout"):
        return
    limits = _longest_per_environment(session)
    if not limits:
        return
    mark = pytest.mark.timeout(max(limits.values()), method="signal")
    for node in {item.case.file for item in session.items if isinstance(item, PhaseItem)}:
        node.add_marker(mark)


def _longest_per_environment(session: pytest.Session) -> dict[str, float]:
    """Environment → the seconds that its selected cases take at most, one after the other."""
    names = ("startup", "upload", "queue", "inference")
    default = {name: options.seconds(session.config, f"ibmodels_{name}_limit") for name in names}
    total: dict[str, float] = {}
    for case in selected_phases(session):
        name = case.environment.name
        fixed = sum({**default, **case.environment.limits}.values()) + _BACKSTOP_SECONDS
        total[name] = total.get(name, 0.0) + case.model_test.time_limit + fixed
    return total
