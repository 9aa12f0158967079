"""The GitHub workflows are valid, and the commands of the one for users work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.plugin.conftest import TOKEN, Project, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
SECRETS = {"DOGFOOD_TOKEN": TOKEN}


PUSH_TO_MAIN = {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "main"}
PULL_REQUEST = {
    "GITHUB_REF": "refs/pull/7/merge",
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_REF_NAME": "7/merge",
    "GITHUB_HEAD_REF": "mine",
    "GITHUB_BASE_REF": "main",
}


def job(name: str) -> list[dict[str, Any]]:
    workflow = yaml.safe_load((WORKFLOWS / "model-tests.yml").read_text())
    found: list[dict[str, Any]] = workflow["jobs"][name]["steps"]
    return found


def steps(name: str) -> dict[str, dict[str, Any]]:
    """Steps of a job that run commands, by name, without those that install packages."""
    found = {step["name"]: step for step in job(name) if "run" in step}
    install = re.fullmatch(r"pip install -c constraints.txt -e '\.\[([\w,]+)\]'", found.pop("Install")["run"])
    assert install is not None
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(install.group(1).split(",")) <= set(extras)
    return found


def value(text: str, event: Mapping[str, str]) -> str:
    """Value that GitHub substitutes for an expression."""
    context = {"matrix.environment": "dogfood", "github.base_ref": event.get("GITHUB_BASE_REF", "")}
    context |= {f"secrets.{name}": secret for name, secret in SECRETS.items()}
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: context[match.group(1)], text)


def run(
    step: Mapping[str, Any], folder: Path, event: dict[str, str] = PUSH_TO_MAIN
) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {name: value(text, event) for name, text in step.get("env", {}).items()}
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PATH": path}
    clean = {name: text for name, text in os.environ.items() if name not in SECRETS and not name.startswith("GITHUB_")}
    return subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=clean | actions | event | given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def keep_cached_only(folder: Path) -> None:
    """Leave of a job's files what the next run gets from the cache: the same path in all steps of the cache."""
    cache = [step for step in job("model-tests") if step.get("uses", "").startswith("actions/cache/")]
    (path,) = {step["with"]["path"] for step in cache}
    (key,) = {step["with"]["key"] for step in cache}
    assert key.startswith(cache[0]["with"]["restore-keys"])
    assert [step["uses"] for step in cache] == ["actions/cache/restore@v4", "actions/cache/save@v4"]
    content = (folder / path).read_bytes()
    shutil.rmtree(folder / ".pytest_cache")
    shutil.rmtree(folder / "reports")
    (folder / "summary.md").unlink()
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_bytes(content)


def test_workflows_fit_the_published_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    files = sorted(map(str, WORKFLOWS.iterdir()))
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(files) == 3


def test_no_expression_is_put_into_a_command() -> None:
    """A value pasted into a script would be executed as code; a variable holds it as text."""
    for file in WORKFLOWS.iterdir():
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            assert [step["run"] for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_ci_runs_what_is_there() -> None:
    jobs = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())["jobs"].values()
    commands = [step["run"].split()[0] for job in jobs for step in job["steps"] if "run" in step]
    assert commands == [".ci/run", ".ci/quick"]
    assert [command for command in commands if not os.access(ROOT / command, os.X_OK)] == []


def test_a_release_is_built_of_its_tag_tested_and_published_without_a_token() -> None:
    workflow = yaml.safe_load((WORKFLOWS / "release.yml").read_text())
    jobs = workflow["jobs"]
    assert (workflow["permissions"], jobs["publish"]["permissions"]) == ({"contents": "read"}, {"id-token": "write"})
    assert jobs["publish"]["needs"] == "build"
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text()
    commands = {step["name"]: step for step in jobs["build"]["steps"] if "run" in step}
    assert (ROOT / commands["Test what is published"]["run"].split()[1]).is_file()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    check = commands["Check that the tag is the version"]
    assert [run(check | {"env": {"TAG": tag}}, ROOT).returncode for tag in (f"v{version}", "v0.0.9")] == [0, 1]


def test_the_commands_that_users_copy_test_report_and_publish(
    served: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = served.pytester.path
    results, intervals = folder / "results.json", {"f1": {"Name": [0.8, 0.99]}}
    config = {"results_file": str(results), "report": {"evaluation_intervals": intervals}}
    served.write_tests(Good={"env": ["dogfood", "staging"], "config": config, "metrics": {"f1": {"Name": 0.85}}})
    for name in ("DOGFOOD_TOKEN", "IBMODELS_HISTORY"):
        monkeypatch.delenv(name)
    description = json.loads((folder / "tiny" / "package.json").read_text()) | {"solution_type": "pypkg"}
    (folder / "tiny" / "package.json").write_text(json.dumps(description))
    (test,) = steps("model-tests").values()
    results.write_text(json.dumps({"f1": {"Name": 0.95}}))
    done = run(test, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 2 deselected" in done.stdout
    assert sorted(path.name for path in (folder / "reports").iterdir()) == ["junit.xml", "models.html", "models.json"]
    report = json.loads((folder / "reports" / "models.json").read_text())
    assert [run["environment"] for run in report["runs"]] == ["dogfood"]
    assert "Good" in (folder / "summary.md").read_text()
    assert "Compared with" not in (folder / "summary.md").read_text()
    assert server.left_over() == []

    keep_cached_only(folder)
    results.write_text(json.dumps({"f1": {"Name": 0.91}}))
    pulled = run(test, folder, PULL_REQUEST)
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    summary = (folder / "summary.md").read_text()
    assert "### Compared with branch main\n" in summary
    assert "| Good | dogfood | f1 | Name | 0.9100 | 0.9500 | -0.0400 | -0.1528 to +0.0728 | **undecided** |" in summary
    annotation = "::warning file=model_tests.yaml,line=1,title=Good on dogfood::compared with branch main: undecided"
    assert annotation in pulled.stdout

    (publish,) = steps("publish").values()
    first = run(publish, folder)
    again = run(publish, folder)
    back = run({**publish, "run": "ibmodels unpublish --package tiny --version 0.0.1"}, folder)
    assert (first.returncode, again.returncode, back.returncode) == (0, 0, 0), first.stdout + first.stderr
    assert "  published" in first.stdout
    assert again.stdout.count("already there") == 2
    for output in (done, pulled, first, again):
        assert TOKEN not in output.stdout + output.stderr
