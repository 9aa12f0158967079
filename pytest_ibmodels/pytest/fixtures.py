"""Fixtures of model tests.

The names ``environment`` and ``package`` are common, so they are registered separately and never hide a fixture of
another plugin from other tests. A ``conftest.py`` may override every fixture: the value of its ``package`` is uploaded.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_ibmodels.pytest import fixture_lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_ibmodels.engine.engine import Engine
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.pytest.phase_runs import InferenceRun, TrainingRun
    from pytest_ibmodels.spec import Environment, ModelTest


@pytest.fixture(scope="class")
def model_test(request: pytest.FixtureRequest) -> ModelTest:
    """Entry of ``model_tests.yaml`` that this case tests."""
    from pytest_ibmodels.pytest.nodes import case_node

    return case_node(request).model_test


@pytest.fixture(scope="session")
def model_engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """Engine of this process. It is closed, and everything that it uploaded is removed, when the session ends."""
    from pytest_ibmodels.pytest.interrupts import sigterm_interrupts
    from pytest_ibmodels.pytest.phase_runs import close_engine, make_engine

    engine = make_engine(pytestconfig)
    with sigterm_interrupts():
        yield engine
    close_engine(pytestconfig, engine)


@pytest.fixture(scope="class")
def training_run(
    request: pytest.FixtureRequest, model_engine: Engine, environment: Environment, model_test: ModelTest
) -> TrainingRun:
    """Training of this case. ``wait()`` starts it, with other selected cases of its environment, and waits for it."""
    from pytest_ibmodels.pytest.phase_runs import TrainingRun

    return TrainingRun(request, model_engine, environment, model_test)


@pytest.fixture(scope="class")
def inference_run(
    request: pytest.FixtureRequest, model_engine: Engine, environment: Environment, model_test: ModelTest
) -> InferenceRun:
    """Inference of this case's trained model. ``wait()`` trains it first, whether or not its training is selected."""
    from pytest_ibmodels.pytest.phase_runs import InferenceRun

    return InferenceRun(request, model_engine, environment, model_test)


def environment(request: pytest.FixtureRequest) -> Environment:
    """Environment that this case runs on."""
    from pytest_ibmodels.pytest.nodes import case_node

    return case_node(request).environment


def package(pytestconfig: pytest.Config) -> Package:
    """Package of every model test that names none of its own.

    It is the zipped folder of ``--package`` or of the setting ``ibmodels_package``, built once a process, and only if
    a selected model test needs it. A project without the default folder, ``ibformers``, uses the installed one.
    """
    from pytest_ibmodels.packaging import LIBRARY, installed_library
    from pytest_ibmodels.pytest.starts import built_package
    from pytest_ibmodels.spec.project import package_folder

    folder = package_folder(pytestconfig)
    if folder == pytestconfig.rootpath / LIBRARY and not folder.exists():
        folder = installed_library() or folder
    return built_package(pytestconfig, folder)


COMMON: dict[str, tuple[Callable[..., Any], Literal["class", "session"]]] = {
    "environment": (environment, "class"),
    "package": (package, "session"),
}
"""Fixtures with common names: name → function and scope."""

_FIXTURE = type(model_test)


def register_common(config: pytest.Config) -> None:
    """Register the fixtures with common names, for all tests, unless another plugin has one of that name."""
    fixtures = (value for plugin in _plugins(config) for value in vars(plugin).values() if type(value) is _FIXTURE)
    taken = {fixture.name for fixture in fixtures}
    for name, (function, scope) in COMMON.items():
        if name not in taken:
            module = ModuleType(f"{__name__}.{name}")
            setattr(module, name, pytest.fixture(scope=scope)(function))
            config.pluginmanager.register(module, f"ibmodels-fixture-{name}")


def register_for(file: pytest.Collector) -> None:
    """Register the fixtures with common names for a file of model tests that would get those of another plugin."""
    of_plugins = {getattr(plugin, "__file__", None) for plugin in _plugins(file.config)}
    for name, (function, scope) in COMMON.items():
        definition = fixture_lookup.used(file, name)
        if definition is None or fixture_lookup.is_ours(definition):
            continue
        source = fixture_lookup.source(definition.func)
        if str(source) in of_plugins or not fixture_lookup.is_projects_own(file.config, source):
            pytest.register_fixture(name=name, func=function, node=file, scope=scope)


def _plugins(config: pytest.Config) -> Iterator[object]:
    """Yield plugins whose fixtures all tests may see: every plugin but ``conftest.py`` files."""
    for plugin in config.pluginmanager.get_plugins():
        file: str = getattr(plugin, "__file__", None) or ""
        if hasattr(plugin, "__dict__") and not file.endswith("conftest.py"):
            yield plugin
