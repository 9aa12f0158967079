"""The fixtures of model tests whose names others use as well: ``package`` and ``environment``.

They hide no fixture of another plugin from other tests. A ``conftest.py`` may override them: what its ``package``
returns is pushed.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_ibmodels.pytest import fixture_lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment

_PACKAGES: pytest.StashKey[dict[Path, Package]] = pytest.StashKey()
"""On the config: folder → package."""


def environment(request: pytest.FixtureRequest) -> Environment:
    """The environment that this case runs on."""
    from pytest_ibmodels.pytest.collection import case_node

    return case_node(request).environment


def package(pytestconfig: pytest.Config) -> Package:
    """The package that is pushed and trained with, where a model test names none of its own.

    It is the folder of ``--package`` or of the setting ``ibmodels_package``, zipped. It is asked for once a process,
    and not at all if every selected model test names its own.
    """
    from pytest_ibmodels.pytest import options

    return built_package(pytestconfig, options.package_folder(pytestconfig))


FIXTURES: dict[str, tuple[Callable[..., Any], Literal["class", "session"]]] = {
    "environment": (environment, "class"),
    "package": (package, "session"),
}
"""Name → function and scope."""


_FIXTURE = type(pytest.fixture(lambda: None))


def register(config: pytest.Config) -> None:
    """Register those for all tests whose names no other plugin has. A ``conftest.py`` overrides them, as ever."""
    fixtures = (value for plugin in _plugins(config) for value in vars(plugin).values() if type(value) is _FIXTURE)
    taken = {fixture.name for fixture in fixtures}
    for name, (function, scope) in FIXTURES.items():
        if name not in taken:
            holder = ModuleType(f"{__name__}.{name}")
            setattr(holder, name, pytest.fixture(scope=scope)(function))
            config.pluginmanager.register(holder, f"ibmodels-fixture-{name}")


def register_for(file: pytest.Collector) -> None:
    """Register those for a file of model tests that it would have of another plugin."""
    of_plugins = {getattr(plugin, "__file__", None) for plugin in _plugins(file.config)}
    for name, (function, scope) in FIXTURES.items():
        definition = fixture_lookup.used(file, name)
        if definition is None or fixture_lookup.is_ours(definition):
            continue
        source = fixture_lookup.source(definition.func)
        if str(source) in of_plugins or not fixture_lookup.is_projects_own(file.config, source):
            pytest.register_fixture(name=name, func=function, node=file, scope=scope)


def _plugins(config: pytest.Config) -> Iterator[object]:
    """Those that may have fixtures for all tests: not the ``conftest.py`` files."""
    for plugin in config.pluginmanager.get_plugins():
        file: str = getattr(plugin, "__file__", None) or ""
        if hasattr(plugin, "__dict__") and not file.endswith("conftest.py"):
            yield plugin


def built_package(config: pytest.Config, folder: Path) -> Package:
    """A folder, zipped once a process.

    Raises:
        ConfigFailure: it cannot be packaged.
    """
    from pytest_ibmodels.engine.failures import ConfigFailure
    from pytest_ibmodels.packaging import PackageError, build_package

    built = config.stash.setdefault(_PACKAGES, {})
    if folder not in built:
        try:
            built[folder] = build_package(folder)
        except PackageError as error:
            raise ConfigFailure(str(error)) from None
    return built[folder]
