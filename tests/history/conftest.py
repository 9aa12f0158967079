"""Fixtures of the tests that use the history as a team does."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels import cli
from tests.plugin.conftest import Project, _outside_github, fork_server, project, served, server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["_outside_github", "fork_server", "project", "served", "server"]

GIT = ("git", "-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "init.defaultBranch=main")
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


def git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


class Documents:
    """A model test on 100 documents more than its project has, some of them predicted right."""

    def __init__(self, sinking: Sinking) -> None:
        self.sinking = sinking
        self.folder = sinking.project.pytester.path
        self.file = self.folder / "predictions.json"
        self.entry: dict[str, object] = {"metrics": {"exact_match": {"Name": 0.5}}}
        (self.folder / ".gitignore").write_text("/predictions.json\n/results.json\n.pytest_cache\n__pycache__\n")
        self.write()
        git(self.folder, "init", "-q")
        self.commit("first")

    def write(self, **entry: object) -> None:
        self.sinking.write_tests(self.entry | entry, predictions_file=str(self.file))

    def commit(self, message: str) -> None:
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-qm", message)

    def run(self, right: int, *options: str) -> pytest.RunResult:
        predictions = {
            f"in/{number}.ibdoc": {
                "Name": {"text": "x", "gold_text": "x", "words": [{"idx": 1}], "is_match": number < right}
            }
            for number in range(100)
        }
        self.file.write_text(json.dumps(predictions))
        self.sinking.file.write_text(json.dumps({"exact_match": {"Name": right / 100}}))
        return self.sinking.project.run(*options)


@pytest.fixture
def documents(sinking: Sinking) -> Documents:
    return Documents(sinking)
