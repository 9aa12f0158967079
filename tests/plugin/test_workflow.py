"""The GitHub workflows are valid, and the commands of the one for users work."""

from __future__ import annotations

import json
import os
import re
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


def steps(job: str) -> dict[str, dict[str, Any]]:
    """Steps of a job that run commands, by name, without those that install packages."""
    workflow = yaml.safe_load((WORKFLOWS / "model-tests.yml").read_text())
    found = {step["name"]: step for step in workflow["jobs"][job]["steps"] if "run" in step}
    install = re.fullmatch(r"pip install -c constraints.txt -e '\.\[([\w,]+)\]'", found.pop("Install")["run"])
    assert install is not None
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(install.group(1).split(",")) <= set(extras)
    return found


def value(text: str) -> str:
    """Value that GitHub substitutes for an expression."""
    context = {"matrix.environment": "dogfood"} | {f"secrets.{name}": secret for name, secret in SECRETS.items()}
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: context[match.group(1)], text)


def run(step: Mapping[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {name: value(text) for name, text in step.get("env", {}).items()}
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PATH": path}
    clean = {name: text for name, text in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=clean | actions | given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


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
    served.write_tests(Good={"env": ["dogfood", "staging"], "metrics": {"f1": {"Name": 0.9}}})
    monkeypatch.delenv("DOGFOOD_TOKEN")
    description = json.loads((folder / "tiny" / "package.json").read_text()) | {"solution_type": "pypkg"}
    (folder / "tiny" / "package.json").write_text(json.dumps(description))
    (test,) = steps("model-tests").values()
    done = run(test, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 2 deselected" in done.stdout
    assert sorted(path.name for path in (folder / "reports").iterdir()) == ["junit.xml", "models.html", "models.json"]
    report = json.loads((folder / "reports" / "models.json").read_text())
    assert [run["environment"] for run in report["runs"]] == ["dogfood"]
    assert "Good" in (folder / "summary.md").read_text()
    assert server.left_over() == []

    (publish,) = steps("publish").values()
    first = run(publish, folder)
    again = run(publish, folder)
    back = run({**publish, "run": "ibmodels unpublish --package tiny --version 0.0.1"}, folder)
    assert (first.returncode, again.returncode, back.returncode) == (0, 0, 0), first.stdout + first.stderr
    assert "  published" in first.stdout
    assert again.stdout.count("already there") == 2
    for output in (done, first, again):
        assert TOKEN not in output.stdout + output.stderr
