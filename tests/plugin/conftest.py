"""A sandbox for all tests of this folder, and projects whose training costs nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from tests.plugin.forked import ForkServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TINY = Path(__file__).parent / "tiny"
TOKEN = "token-of-the-tests"
TEXTS = {"a": "Name: Ada Lovelace\nTotal: 12", "b": "Name: Alan Turing\nTotal: 7", "c": "Name: Grace Hopper\nTotal: 3"}
PROJECT = "acme/data/fs/Drive/project/Project.ibannotator"
ROOT = "acme/ci/fs/Drive/tests"


def write_annotator_project(folder: Path) -> None:
    """Three documents whose lines are `Field: value`, as the tiny package reads them."""
    folder.mkdir()
    files = []
    for name, text in TEXTS.items():
        path = f"Project_input/out/s2_map_records/{name}.ibocr"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        lines = [[{"word": word, "raw_word": word, "page": 0} for word in line.split()] for line in text.splitlines()]
        layout = {"layout": {"width": 100, "height": 100}}
        (folder / path).write_text(json.dumps([{"text": text, "lines": lines, "metadata_list": [layout]}]))
        files.append({"id": name, "ocrPath": path, "annotations": {}})
    (folder / "Project.ibannotator").write_text(json.dumps({"labels": [], "files": files, "testFiles": list(TEXTS)}))


@dataclass(frozen=True)
class Server:
    """A sandbox that runs on its own, as a team's environment would."""

    url: str
    data: Path

    def left_over(self) -> list[str]:
        """Files below the root of the tests, and registered models: what runs left behind."""
        header = json.dumps({"type": "folder", "get_content": True})
        headers = {"Authorization": f"Bearer {TOKEN}", "Instabase-API-Args": header}
        answer = httpx.get(f"{self.url}/api/v1/drives/{ROOT}", headers=headers).json()
        with contextlib.closing(sqlite3.connect(self.data / "sandbox.sqlite")) as store:
            models = [name for (name,) in store.execute("select name from models")]
        return [node["name"] for node in answer.get("nodes", [])] + models

    def jobs(self, kind: str) -> int:
        """How many jobs of a kind (`train`, `unzip`, ...) it has had."""
        with contextlib.closing(sqlite3.connect(self.data / "sandbox.sqlite")) as store:
            return int(store.execute("select count(*) from jobs where kind = ?", [kind]).fetchone()[0])

    def training_processes(self) -> list[int]:
        """Ids of the processes that run training jobs: they work in a scratch folder below the server's data."""
        import psutil

        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.cwd().startswith(f"{self.data}/jobs/"):
                    found.append(process.pid)
        return found


@pytest.fixture(autouse=True)
def _outside_github(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where GitHub runs these tests, the runs inside them must not write into its job summary."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _without_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no history, whose database and questions to git take longer than most of these runs."""
    monkeypatch.setenv("IBMODELS_HISTORY", "none")


@contextlib.contextmanager
def serve(folder: Path, *options: str) -> Iterator[Server]:
    """Run a sandbox whose data is below a folder."""
    (folder / "token").write_text(TOKEN)
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--announce", "--exit-with-parent"]
    command += ["--data", str(folder / "data"), "--token-file", str(folder / "token"), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Server(json.loads(process.stdout.readline())["url"], folder / "data")
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sandbox")
    write_annotator_project(folder / "project")
    mount = f"{PROJECT.rpartition('/')[0]}={folder / 'project'}"
    with serve(folder, "--max-jobs", "8", "--no-preload", "--mount", mount) as server:
        yield server


@dataclass(frozen=True)
class Project:
    """A user's project: the two YAML files and the code that is pushed."""

    pytester: pytest.Pytester
    server: ForkServer

    def write_tests(self, **entries: Mapping[str, object]) -> None:
        defaults = {"env": "dogfood", "ibannotator": PROJECT, "time_limit": 60, "config": {}, "metrics": {}}
        tests = {name: {**defaults, **entry} for name, entry in entries.items()}
        (self.pytester.path / "model_tests.yaml").write_text(yaml.safe_dump(tests, sort_keys=False))

    def write_environments(self, **entries: dict[str, object]) -> None:
        (self.pytester.path / "environments.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))

    def run(self, *args: str, timeout: float | None = None) -> pytest.RunResult:
        if not self.server.can_run():
            return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *args, timeout=timeout)
        return self.server.run(self.pytester, "-p", "no:cacheprovider", *args, timeout=timeout)


@pytest.fixture(scope="session")
def fork_server() -> ForkServer:
    return ForkServer()


@pytest.fixture
def project(pytester: pytest.Pytester, fork_server: ForkServer) -> Project:
    """A project without any environment but the built-in sandbox."""
    pytester.makeini("[pytest]\nibmodels_package = tiny\n")
    shutil.copytree(TINY, pytester.path / "tiny")
    return Project(pytester, fork_server)


@pytest.fixture
def served(project: Project, server: Server, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the environments `dogfood` and `staging`, both the running sandbox."""
    monkeypatch.setenv("DOGFOOD_TOKEN", TOKEN)
    entry: dict[str, object] = {"host": server.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}"}
    project.write_environments(dogfood=entry, staging=entry)
    return project
