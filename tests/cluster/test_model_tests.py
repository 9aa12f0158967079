"""The README's model tests pass on a cluster, which a server starts by itself, as they pass on one machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.sandbox.running import TOKEN, RunningSandbox

SAMPLES = "sandbox/ci/fs/Instabase Drive/samples/drivers-licenses"


@pytest.fixture
def server(short_tmp: Path, no_processes_left: None) -> Iterator[RunningSandbox]:
    running = RunningSandbox(
        short_tmp / "data",
        "--executor", "ray",
        "--max-jobs", "2",
        "--job-threads", "1",
        "--mount", f"{SAMPLES}=sample:drivers-licenses",
        "--preload-for", str(ROOT / "ibformers"),
        preload=True,
    )  # fmt: skip
    yield running
    running.close()


def test_the_model_tests_pass(server: RunningSandbox, tmp_path: Path) -> None:
    environments, report = tmp_path / "environments.yaml", tmp_path / "report.json"
    sandbox = {
        "host": server.announced["url"],
        "path": "sandbox/ci/fs/Instabase Drive/model-tests",
        "token": "${SANDBOX_TOKEN}",
        "database": "sample:reviews",
    }
    environments.write_text(json.dumps({"sandbox": sandbox}))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "model_tests.yaml",
        "-p",
        "no:cacheprovider",
        "--model-report",
        str(report),
    ]
    settings = ["-o", f"ibmodels_environments={environments}", "-o", "ibmodels_history=none"]
    environ = {**os.environ, "SANDBOX_TOKEN": TOKEN, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*command, *settings], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "4 passed" in done.stdout
    (node,) = server.call("GET", "/api/v1/sandbox/status").json()["nodes"]
    runs = json.loads(report.read_text())["runs"]
    assert {run["node"] for run in runs} == {node["name"]}, runs
