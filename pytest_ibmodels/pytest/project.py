"""Where a project keeps what the commands need, as pytest's settings say it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest import options

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Project:
    """A project's settings.

    Attributes:
        environments: the file that describes the environments; it need not be there.
        package: the folder of the training code.
        journal: the file in which stands what was made in environments; it need not be there.
        model_tests: names of the files that hold model tests.
    """

    environments: Path
    package: Path
    journal: Path
    model_tests: tuple[str, ...]

    @classmethod
    def of(cls, config: pytest.Config) -> Project:
        """The project that pytest runs in."""
        return cls(
            options.environments_path(config),
            options.package_folder(config),
            options.journal_file(config),
            tuple(options.file_names(config)),
        )

    @classmethod
    def here(cls) -> Project:
        """The project of the current folder. pytest finds and reads its settings, as it would for a run.

        Raises:
            pytest.UsageError: it cannot; it has said why.
        """
        reader = _Reader()
        # Neither the project's own code nor its options for runs are wanted.
        code = pytest.main(
            ["--noconftest", "--assert=plain", "--capture=no", "--override-ini=addopts="],
            plugins=[reader],
        )
        if reader.project is None:
            given = os.environ.get("PYTEST_ADDOPTS")
            hint = f"; options of PYTEST_ADDOPTS count, too: {given}" if given else ""
            raise pytest.UsageError(f"pytest cannot read this project's settings (its exit code was {code}){hint}")
        return reader.project


class _Reader:
    """A plugin that takes the settings, and ends pytest before it does anything."""

    def __init__(self) -> None:
        self.project: Project | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, parser: pytest.Parser, args: list[str]) -> None:
        """Leave out what only the project's own code knows: options of its `conftest.py` in PYTEST_ADDOPTS."""
        unknown = parser.parse_known_and_unknown_args(args)[1]
        args[:] = [option for option in args if option not in unknown]

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> pytest.ExitCode:
        self.project = Project.of(config)
        return pytest.ExitCode.OK
