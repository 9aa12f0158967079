"""The project that a command is started in, and the environments that ``--env`` chooses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels import spec
from pytest_ibmodels.spec.project import Project, environment_names, project_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SKIPPED = {"build", "dist", "node_modules", "venv"}
"""Folders that are not searched for model tests."""


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


def model_test_files(folder: Path, names: Sequence[str], *, only_certain: bool) -> list[Path]:
    """Return the files of model tests below a folder; hidden, build and virtual environment folders are skipped.

    With ``only_certain``, a file counts only if its content looks like model tests: other tools use such names, too.
    """
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and name not in _SKIPPED and not Path(parent, name, "pyvenv.cfg").is_file()
        ]
        found += [Path(parent, name) for name in names if name in files]
    return [file for file in found if not only_certain or spec.looks_like_model_tests(file)]


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
