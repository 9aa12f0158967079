"""The fixtures of model tests whose names others use as well: ``package`` and ``environment``.

They are registered once there are model tests, and hide no fixture that another plugin has for its own tests. A
``conftest.py`` may override them: what its ``package`` returns is pushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_ibmodels import fixture_lookup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment

_REGISTERED: pytest.StashKey[set[tuple[str, str]]] = pytest.StashKey()
"""On the config: name and node id of what was registered."""
_PACKAGES: pytest.StashKey[dict[Path, Package]] = pytest.StashKey()
"""On the config: folder → package."""


def environment(request: pytest.FixtureRequest) -> Environment:
    """The environment that this case runs on."""
    from pytest_ibmodels.collection import case_node

    return case_node(request).environment


def package(pytestconfig: pytest.Config) -> Package:
    """The package that is pushed and trained with, where a model test names none of its own.

    It is the folder of ``--package`` or of the setting ``ibmodels_package``, zipped. It is asked for once a process,
    and not at all if every selected model test names its own.
    """
    from pytest_ibmodels import options

    return built_package(pytestconfig, options.package_folder(pytestconfig))


FIXTURES: dict[str, tuple[Callable[..., Any], Literal["class", "session"]]] = {
    "environment": (environment, "class"),
    "package": (package, "session"),
}
"""Name → function and scope."""


def register(file: pytest.Collector) -> None:
    """Register them for a file of model tests: for all tests, or, where another plugin has one, for that file only."""
    registered = file.config.stash.setdefault(_REGISTERED, set())
    for name, (function, scope) in FIXTURES.items():
        everywhere = [one for one in fixture_lookup.definitions(file.session, name) if not fixture_lookup.is_ours(one)]
        here = [one for one in fixture_lookup.definitions(file, name) if not fixture_lookup.is_ours(one)]
        # An override of a conftest.py stands between the session and the file, and may ask for what it overrides.
        node: pytest.Collector = file if everywhere and len(here) == len(everywhere) else file.session
        if (name, node.nodeid) not in registered:
            registered.add((name, node.nodeid))
            pytest.register_fixture(name=name, func=function, node=node, scope=scope)


def built_package(config: pytest.Config, folder: Path) -> Package:
    """A folder, zipped once a process.

    Raises:
        ConfigFailure: it cannot be packaged.
    """
    from pytest_ibmodels.packaging import PackageError, build_package
    from pytest_ibmodels.runs.failures import ConfigFailure

    built = config.stash.setdefault(_PACKAGES, {})
    if folder not in built:
        try:
            built[folder] = build_package(folder)
        except PackageError as error:
            raise ConfigFailure(str(error)) from None
    return built[folder]
