"""Nodes of the collection tree: the YAML file, its model tests, their cases, and the two items of each case.

The items are ordinary test functions of :class:`ModelTestPhases`, so ``-k``, ``-m``, ``--lf``, node ids, fixtures and
marks work on them as on any other test.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.pytest import options
from pytest_ibmodels.pytest.keys import ACTIVE
from pytest_ibmodels.pytest.skipping import is_kept_from_running
from pytest_ibmodels.reports.lines import CollectionText
from pytest_ibmodels.spec import Problem, SpecError, load
from pytest_ibmodels.spec.messages import did_you_mean
from pytest_ibmodels.spec.project import environments_path

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from pytest_ibmodels.spec import Environment, EnvironmentsFile, MarkUse, ModelTest

_FUNCTIONS = ("test_training", "test_inference")


class ModelTestPhases:
    """Test functions of every case; their fixtures know the case.

    They are static: pytest 9.1 drops the first argument of a method twice if the method is collected by itself.
    """

    # `inspect.getsourcelines` follows this and finds no lines. Otherwise editors that ask it for the line of a node's
    # class (VS Code) would open the YAML file at the line of this class in this file.
    __wrapped__ = None
    # From Python 3.13 on, it looks for the line here.
    __firstlineno__ = None

    @staticmethod
    @pytest.mark.training
    def test_training(training_run: object, request: pytest.FixtureRequest) -> None:
        __tracebackhide__ = True
        _wait(training_run, "training_run", request)

    @staticmethod
    @pytest.mark.inference
    def test_inference(inference_run: object, request: pytest.FixtureRequest) -> None:
        __tracebackhide__ = True
        _wait(inference_run, "inference_run", request)


def _wait(run: object, name: str, request: pytest.FixtureRequest) -> None:
    """Call ``wait()`` of a fixture's value; a ``conftest.py`` may return any object that has it."""
    __tracebackhide__ = True
    wait = getattr(run, "wait", None)
    if not callable(wait):
        from pytest_ibmodels.pytest.fixture_lookup import wrong_value

        raise wrong_value(run, name, request.node, "something that has `wait()`")
    wait()


class ModelTestsNode(pytest.Module):
    """The YAML file. It is a Module, for module-scoped fixtures; its children come from the spec."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.obj = ModuleType(self.nodeid, "Model tests, collected from YAML.")
        self.obj.__file__ = str(self.path)
        self.config.stash[ACTIVE] = True
        self._fixture_infos: dict[str, Any] = {}

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield the nodes of the model tests, or directly their items if no node id was given.

        pytest resolves a node id level by level, so it needs every level then. Otherwise reporting each level as
        collected would take a third of the whole collection.
        """
        for node in self._model_test_nodes():
            if any("::" in argument for argument in self.config.args):
                yield node
            else:
                yield from (item for case in node.collect() for item in case.collect())

    def _model_test_nodes(self) -> Iterator[ModelTestNode]:
        try:
            missing = options.environments_missing(self.config)
            tests, environments = load(self.path, environments_path(self.config), missing=missing)
        except SpecError as error:
            raise self.CollectError(str(error)) from None
        nodes = [
            ModelTestNode.from_parent(self, name=test.name, file=self, model_test=test, environments=environments)
            for test in tests.tests.values()
        ]
        problems = [problem for node in nodes for problem in node.add_marks()]
        if problems:
            raise self.CollectError(str(SpecError(problems)))
        yield from nodes

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        text = super().repr_failure(excinfo)
        return CollectionText(text) if isinstance(text, str) else text

    def phase_item(self, case: CaseNode, name: str) -> PhaseItem:
        """Return an item of a case. Fixtures are looked up once per file, as all its cases see the same ones."""
        item = PhaseItem.from_parent(case, name=name, fixtureinfo=self._fixture_infos.get(name))
        # pytest passes this object between the variants of a parametrized test through the same argument. The
        # attribute is not documented; without it, collecting takes half as long again.
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

    def add_marks(self) -> list[Problem]:
        """Add the marks of the entry's keys ``marks``, ``skip`` and ``xfail``; the items inherit them.

        Returns:
            A problem for every unregistered mark, if the project uses strict markers. Otherwise pytest's warning is
            given at the mark's line.
        """
        test = self.model_test
        if test.skip is not None:
            self.add_marker(pytest.mark.skip(reason=test.skip))
        if test.xfail is not None:
            self.add_marker(pytest.mark.xfail(reason=test.xfail))
        return [self._unknown_mark(use) for use in test.marks if not self._has_added(use)]

    def _has_added(self, use: MarkUse) -> bool:
        """Add a mark; return False if that is an error."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self.add_marker(use.name)
            except pytest.fail.Exception:  # raised for strict markers
                return False
        try:
            for _ in caught:
                message = self._unknown_mark(use).message
                warnings.warn_explicit(message, pytest.PytestUnknownMarkWarning, str(self.path), use.line)
        except pytest.PytestUnknownMarkWarning:  # warnings are errors
            return False
        return True

    def _unknown_mark(self, use: MarkUse) -> Problem:
        lines: list[str] = self.config.getini("markers")
        known = {line.partition(":")[0].partition("(")[0].strip() for line in lines}
        advice = did_you_mean(use.name, known) or ": register it with pytest's setting `markers`, or remove it"
        return Problem(self.path, use.line, use.column, f"there is no mark `{use.name}`{advice}")


class CaseNode(pytest.Class):
    """One model test on one environment."""

    def __init__(self, *, file: ModelTestsNode, model_test: ModelTest, environment: Environment, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.obj = ModelTestPhases
        self.file = file
        self.model_test = model_test
        self.environment = environment

    def collect(self) -> Iterable[PhaseItem]:
        functions = _FUNCTIONS if self.model_test.inference.enabled else _FUNCTIONS[:1]
        return [self.file.phase_item(self, name) for name in functions]


class PhaseItem(pytest.Function):
    """``test_training`` or ``test_inference`` of a case; its location is the line of its entry in the YAML file."""

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


def case_node(request: pytest.FixtureRequest) -> CaseNode:
    """Return the case of the item that requests a fixture; fail an item that is not a model test."""
    node = request.node
    if not isinstance(node, CaseNode):
        name = request.fixturename
        pytest.fail(f"the fixture {name!r} belongs to model tests: {node.nodeid} is not one", pytrace=False)
    return node


def selected_phases(session: pytest.Session) -> dict[CaseNode, dict[str, PhaseItem]]:
    """Return case → phase → item, in the order of the items, without items that their marks skip."""
    selected: dict[CaseNode, dict[str, PhaseItem]] = {}
    for item in session.items:
        if isinstance(item, PhaseItem) and not is_kept_from_running(item):
            selected.setdefault(item.case, {})[item.phase] = item
    return selected
