"""Annotations of trends and baselines at the end of a session in GitHub Actions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest.reporting import outcomes_of
from pytest_ibmodels.redaction import redacted

if TYPE_CHECKING:
    from pytest_ibmodels.reports.record import RunRecord

_ANNOTATES_FAILURES = "annotate_errors"
"""Name under which pytest-github-actions-annotate-failures registers what annotates failed items."""


def register(config: pytest.Config) -> None:
    """Annotate at the end of this session if it runs in GitHub Actions; xdist's workers annotate nothing."""
    if os.environ.get("GITHUB_ACTIONS") == "true" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Annotations(config), "ibmodels-annotations")


class Annotations:
    """Writes the annotations, when the rest of the summary is written."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        runs = outcomes_of(self._config).sorted_runs()
        if not any(run.training.trends or run.training.baseline for run in runs):
            return
        from pytest_ibmodels.reports.github_annotations import annotation_commands

        with_failures = not self._config.pluginmanager.hasplugin(_ANNOTATES_FAILURES)
        for run in runs:
            for line in annotation_commands(run, self._file(run), redacted, with_failures=with_failures):
                terminalreporter.write_line(line)

    def _file(self, run: RunRecord) -> str:
        """Return the file of a model test relative to the repository, as GitHub needs it."""
        file = self._config.rootpath / run.file
        workspace = Path(os.environ.get("GITHUB_WORKSPACE") or self._config.rootpath)
        return (file.relative_to(workspace) if file.is_relative_to(workspace) else Path(run.file)).as_posix()
