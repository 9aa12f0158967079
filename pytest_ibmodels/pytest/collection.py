"""Collection of model tests: which files are collected, and which items are selected. Nothing is started here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest import fixtures, options
from pytest_ibmodels.pytest.keys import NOT_OURS
from pytest_ibmodels.pytest.nodes import ModelTestsNode, PhaseItem, selected_phases
from pytest_ibmodels.redaction import remember
from pytest_ibmodels.spec import SpecError, load_environments, looks_like_model_tests
from pytest_ibmodels.spec.project import environments_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BACKSTOP_SECONDS = 120.0


def collect_file(path: Path, parent: pytest.Collector) -> ModelTestsNode | None:
    """Return the node of a file of model tests; None if the file belongs to another tool."""
    return ModelTestsNode.from_parent(parent, path=path) if _is_ours(path, parent.session) else None


def start_file(collector: pytest.Collector) -> None:
    """Register the fixtures of a file of model tests before it is collected."""
    if isinstance(collector, ModelTestsNode):
        fixtures.register_for(collector)


def _is_ours(path: Path, session: pytest.Session) -> bool:
    """Return whether a file named like model tests belongs to this plugin; other tools may use that name, too.

    A file given by its path does, and so does every file of a project that has settings for the plugin or a file of
    environments. Any other file needs an entry that looks like a model test.
    """
    config = session.config
    if session.isinitpath(path) or options.has_settings(config) or not options.environments_missing(config):
        return True
    if looks_like_model_tests(path):
        return True
    shown = path.relative_to(config.rootpath) if path.is_relative_to(config.rootpath) else path
    config.stash.setdefault(NOT_OURS, []).append(str(shown))
    return False


def check_chosen_environments(config: pytest.Config) -> None:
    """Check that every environment of ``--env`` exists.

    Raises:
        pytest.UsageError: an environment is not known.
    """
    path = environments_path(config)
    try:
        known = load_environments(path).environments
    except SpecError:
        return  # the collection of the model tests reports it, with every other error
    unknown = [name for name in options.chosen_environments(config) if name not in known]
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        missing = options.environments_missing(config)
        raise pytest.UsageError(
            f"{options.spelled(config, 'env')} {names}: no such environment in {path.name}; known are: "
            f"{', '.join(known)}{'. ' * bool(missing)}{missing}"
        )


def deselect_other_environments(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect model tests on environments that ``--env`` does not name; keep all other tests."""
    chosen = options.chosen_environments(config)
    dropped = [item for item in items if isinstance(item, PhaseItem) and item.case.environment.name not in chosen]
    if dropped:
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=dropped)


def remember_secrets(session: pytest.Session) -> None:
    """Hide the secrets of all environments from now on, including environments that are never contacted."""
    environments = {
        item.case.environment.name: item.case.environment for item in session.items if isinstance(item, PhaseItem)
    }
    for environment in environments.values():
        remember(*environment.secrets(os.environ))


def cases_of(items: Iterable[pytest.Item]) -> set[tuple[str, str]]:
    """Return the environment and model test of every case among the items."""
    return {(item.case.environment.name, item.case.model_test.name) for item in items if isinstance(item, PhaseItem)}


def set_backstop(session: pytest.Session) -> None:
    """Give model tests a timeout of pytest-timeout that fires only if the engine's own limits did not.

    The engine keeps the limits itself, and tidies up when one is reached. The backstop is the time that all cases of an
    environment would take one after the other.
    """
    if not session.config.pluginmanager.has_plugin("timeout"):
        return
    limits = _seconds_per_environment(session)
    if not limits:
        return
    mark = pytest.mark.timeout(max(limits.values()), method="signal")
    for node in {item.case.file for item in session.items if isinstance(item, PhaseItem)}:
        node.add_marker(mark)


def _seconds_per_environment(session: pytest.Session) -> dict[str, float]:
    """Return environment → the most seconds that its selected cases take, one after the other."""
    names = ("startup", "upload", "queue", "inference")
    default = {name: options.positive_number(session.config, f"ibmodels_{name}_limit") for name in names}
    total: dict[str, float] = {}
    for case in selected_phases(session):
        name = case.environment.name
        fixed = sum({**default, **case.environment.limits}.values()) + _BACKSTOP_SECONDS
        total[name] = total.get(name, 0.0) + case.model_test.time_limit + fixed
    return total
