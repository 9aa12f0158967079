"""Which definition of a fixture a node sees, before anything asks for it; and whether it returned what it should.

pytest has no public way to know that: ``getfixturedefs`` of its fixture manager is used here only. Where it is missing,
nothing is known, and each case is started by its own item.
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
_OURS = Path(__file__).parents[1]
_T = TypeVar("_T")


def definitions(node: pytest.Item | pytest.Collector, name: str) -> Sequence[pytest.FixtureDef[Any]]:
    """The definitions of a fixture that a node sees; the last one is used, and may ask for the one before.

    Empty if there is none, or if it cannot be known.
    """
    try:
        found: Sequence[pytest.FixtureDef[Any]] | None = node.session._fixturemanager.getfixturedefs(name, node)  # noqa: SLF001
    except (AttributeError, TypeError):
        return ()
    return tuple(found or ())


def used(node: pytest.Item | pytest.Collector, name: str) -> pytest.FixtureDef[Any] | None:
    """The definition that a node gets; None if there is none, or if it cannot be known."""
    found = definitions(node, name)
    return found[-1] if found else None


def is_ours(definition: pytest.FixtureDef[Any] | None) -> bool:
    """Whether a definition is one of this plugin."""
    return definition is not None and source(definition.func).is_relative_to(_OURS)


def is_projects_own(config: pytest.Config, file: str | Path) -> bool:
    """Whether a file of code belongs to the project: no installed package, no part of pytest or of this plugin."""
    path = Path(file)
    if path.name == "conftest.py":
        return True
    installed = {getattr(plugin, "__file__", "") for plugin, _ in config.pluginmanager.list_plugin_distinfo()}
    return not (_INSTALLED & set(path.parts) or path.is_relative_to(_OURS) or str(path) in installed)


def source(function: Callable[..., Any]) -> Path:
    """The file of a function; empty if it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Path(code.co_filename if code is not None else "")


def place(node: pytest.Item | pytest.Collector, name: str) -> str:
    """FILE:LINE of the definition that a node gets; empty if it is not known."""
    definition = used(node, name)
    code = None if definition is None else getattr(inspect.unwrap(definition.func), "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def checked(value: object, wanted: type[_T], name: str, node: pytest.Item | pytest.Collector) -> _T:
    """A fixture's value.

    Raises:
        ConfigFailure: it is of another type; says where the fixture stands.
    """
    if isinstance(value, wanted):
        return value
    advice = ", see pytest_ibmodels.packaging.build_package" if name == "package" else ""
    raise wrong_value(value, name, node, f"{_named(wanted)}{advice}")


def wrong_value(value: object, name: str, node: pytest.Item | pytest.Collector, wanted: str) -> ConfigFailure:
    """The failure that a fixture returned something else than it should; says where the fixture stands."""
    from pytest_ibmodels.engine.failures import ConfigFailure

    where = place(node, name)
    given = "None" if value is None else _named(type(value))
    return ConfigFailure(
        f"the fixture `{name}`{f' of {where}' * bool(where)} returned {given}: it should return {wanted}"
    )


def _named(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}"
