"""The project that a command is started in, and the environments that ``--env`` chooses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.spec.project import Project, environment_names, project_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_project() -> Project:
    """Return the project of the current folder; pytest finds and reads its settings, as for a test run.

    Raises:
        pytest.UsageError: pytest cannot read the settings, and has printed why.
    """
    reader = _SettingsReader()
    # Neither the project's own code nor its options for test runs are needed.
    code = pytest.main(
        ["--noconftest", "--assert=plain", "--capture=no", "--override-ini=addopts="],
        plugins=[reader],
    )
    if reader.project is None:
        given = os.environ.get("PYTEST_ADDOPTS")
        hint = f"; options of PYTEST_ADDOPTS count, too: {given}" if given else ""
        raise pytest.UsageError(f"pytest cannot read this project's settings (its exit code was {code}){hint}")
    return reader.project


def chosen_names(values: Iterable[str] | None) -> tuple[str, ...]:
    """Return the environments given with ``--env``; empty means all.

    Raises:
        pytest.UsageError: a name is empty.
    """
    try:
        return environment_names(values or ())
    except ValueError as error:
        raise pytest.UsageError(f"--env: {error}") from None


class _SettingsReader:
    """Plugin that reads the settings and ends pytest before it collects anything."""

    def __init__(self) -> None:
        self.project: Project | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, parser: pytest.Parser, args: list[str]) -> None:
        """Drop options of PYTEST_ADDOPTS that only the project's own ``conftest.py`` defines."""
        unknown = parser.parse_known_and_unknown_args(args)[1]
        args[:] = [option for option in args if option not in unknown]

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> pytest.ExitCode:
        self.project = project_of(config)
        return pytest.ExitCode.OK
