"""Definitions of fixtures that a node sees, before any item requests them; and checks of their values.

pytest has no public way to look a definition up: ``getfixturedefs`` of its fixture manager is used here only. Where it
is missing, no definition is found, and each case is started by its own item.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from pytest_ibmodels.engine.failures import ConfigFailure

_INSTALLED = {"site-packages", "dist-packages", "_pytest"}
_THIS_PLUGIN = Path(__file__).parents[1]
_T = TypeVar("_T")


def used(node: pytest.Item | pytest.Collector, name: str) -> pytest.FixtureDef[Any] | None:
    """Return the definition of a fixture that a node gets; None if there is none or pytest cannot tell."""
    try:
        found: Sequence[pytest.FixtureDef[Any]] | None = node.session._fixturemanager.getfixturedefs(name, node)  # noqa: SLF001
    except (AttributeError, TypeError):
        return None
    # The last definition is used; it may request the one before.
    return found[-1] if found else None


def is_ours(definition: pytest.FixtureDef[Any] | None) -> bool:
    """Return whether this plugin defines a fixture."""
    return definition is not None and source(definition.func).is_relative_to(_THIS_PLUGIN)


def is_projects_own(config: pytest.Config, file: str | Path) -> bool:
    """Return whether a file of code belongs to the project, not to an installed package, pytest or this plugin."""
    path = Path(file)
    if path.name == "conftest.py":
        return True
    installed = {getattr(plugin, "__file__", "") for plugin, _ in config.pluginmanager.list_plugin_distinfo()}
    return not (_INSTALLED & set(path.parts) or path.is_relative_to(_THIS_PLUGIN) or str(path) in installed)


def source(function: Callable[..., Any]) -> Path:
    """Return the file of a function; an empty path if it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Path(code.co_filename if code is not None else "")


def location(node: pytest.Item | pytest.Collector, name: str) -> str:
    """Return FILE:LINE of the definition that a node gets; empty if it is not known."""
    definition = used(node, name)
    code = None if definition is None else getattr(inspect.unwrap(definition.func), "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def checked(value: object, wanted: type[_T], name: str, node: pytest.Item | pytest.Collector) -> _T:
    """Return a fixture's value.

    Raises:
        ConfigFailure: the value is of another type; the message names the fixture's location.
    """
    if isinstance(value, wanted):
        return value
    advice = ", see pytest_ibmodels.packaging.build_package" if name == "package" else ""
    raise wrong_value(value, name, node, f"{_with_article(wanted)}{advice}")


def wrong_value(value: object, name: str, node: pytest.Item | pytest.Collector, wanted: str) -> ConfigFailure:
    """Return the failure for a fixture that returned a value of a wrong type."""
    from pytest_ibmodels.engine.failures import ConfigFailure

    where = location(node, name)
    given = "None" if value is None else _with_article(type(value))
    return ConfigFailure(
        f"the fixture `{name}`{f' of {where}' * bool(where)} returned {given}: it should return {wanted}"
    )


def _with_article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}"
