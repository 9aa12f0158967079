"""Fixtures of the tests that use the history as a team does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels import cli
from tests.plugin.conftest import Project, _outside_github, fork_server, project, served, server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["_outside_github", "fork_server", "project", "served", "server"]

VARIABLES = ("IBMODELS_HISTORY", "GITHUB_SHA", "GITHUB_RUN_ID", "GITHUB_REF_TYPE", "GITHUB_HEAD_REF", "CI_JOB_URL")


@pytest.fixture
def ibmodels(
    capsys: pytest.CaptureFixture[str], served: Project, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in the project; its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(served.pytester.path)
        capsys.readouterr()
        code = cli.main(arguments)
        return (code, *capsys.readouterr())

    return run


class Sinking:
    """A model test whose config stays the same while its results change."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.file = project.pytester.path / "results.json"
        self.write_tests()

    def write_tests(self, entry: Mapping[str, object] | None = None, **config: object) -> None:
        given = {"metrics": {"f1": {"Name": 0.8}}, **(entry or {})}
        self.project.write_tests(Receipts={"config": {"results_file": str(self.file), **config}, **given})

    def run(self, f1: float, *options: str) -> pytest.RunResult:
        results = {"f1": {"Name": f1, "Total": 0.5}}
        self.file.write_text(json.dumps(results))
        return self.project.run(*options)


@pytest.fixture
def sinking(served: Project, monkeypatch: pytest.MonkeyPatch) -> Sinking:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return Sinking(served)


def history_of(project: Project) -> Path:
    return project.pytester.path / ".pytest_cache" / "ibmodels" / "history.sqlite"
