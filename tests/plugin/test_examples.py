"""The folders of `examples/`: each trains, is judged, served, promoted, and compared to the model in use."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.docs_blocks import CLONE
from tests.plugin.conftest import ROOT, TOKEN, Project, Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugin.forked import ForkServer

EXAMPLES = CLONE / "examples"
MOST_ADDED = {"scikit-learn": 20, "lightgbm": 20, "pytorch": 20, "hugging-face": 25}
"""Most lines that a trainer has and the script does not."""


def test_every_folder_is_an_example_that_is_described() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(MOST_ADDED)
    page = (EXAMPLES / "README.md").read_text()
    for name in MOST_ADDED:
        assert f"| [{name}]({name}) |" in page
        assert f"| {added_lines(name)} |" in page, f"{name}: {added_lines(name)} lines are added"


@pytest.mark.parametrize(("name", "most"), MOST_ADDED.items())
def test_few_lines_make_a_script_a_trainer(name: str, most: int) -> None:
    assert added_lines(name) <= most


def added_lines(name: str) -> int:
    """Lines with text that the trainer has and the script has not; a changed line counts."""
    (trainer,) = (EXAMPLES / name).glob("*/__init__.py")
    before, after = (path.read_text().splitlines() for path in (EXAMPLES / name / "before.py", trainer))
    return sum(line.startswith("+ ") and bool(line[2:].strip()) for line in difflib.ndiff(before, after))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A sandbox that imports torch once for the examples."""
    folder = tmp_path_factory.mktemp("examples")
    with serve(folder, "--preload-for", str(EXAMPLES / "pytorch"), "--job-threads", "1") as server:
        yield server


@pytest.mark.parametrize("name", MOST_ADDED)
def test_it_runs(
    name: str,
    pytester: pytest.Pytester,
    fork_server: ForkServer,
    sandbox: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOGFOOD_TOKEN", TOKEN)
    shutil.copytree(EXAMPLES / name, pytester.path, dirs_exist_ok=True)
    subprocess.run([sys.executable, "make_data.py"], cwd=pytester.path, check=True)
    environment = {"host": sandbox.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}"}
    (pytester.path / "environments.yaml").write_text(yaml.safe_dump({"sandbox": environment}))
    project = Project(pytester, fork_server)

    first = project.run("--promote")
    first.assert_outcomes(passed=2)
    first.stdout.fnmatch_lines(
        [
            "* on sandbox: trained in *",
            "  accuracy  all *",
            "  tested on * rows (split by hash, seed 42, fingerprint *)",
            "* on sandbox: served; * match training (*",
            "  promoted: * is now version *",
        ]
    )

    second = project.run("-k", "training", "-v")
    second.assert_outcomes(passed=1)
    second.stdout.fnmatch_lines(["  better_than_current *"])
    assert sandbox.left_over() == []
