"""Files, output and exit codes of `ibmodels check`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
import yaml

from pytest_ibmodels import cli

if TYPE_CHECKING:
    from typing import Protocol

    class Check(Protocol):
        def __call__(self, files: dict[str, str], *arguments: str) -> tuple[int, str, str]: ...


TEST = "ibannotator: acme/ci/fs/Drive/receipts.ibannotator, time_limit: 60, metrics: {f1: {Total: 0.5}}"
ENVIRONMENTS = "dogfood: {host: 'http://127.0.0.1:1', path: acme/ci/fs/Drive/tests, token: '${NOT_SET}'}\n"


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Write files into the current folder and run the command: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def run(files: dict[str, str], *arguments: str) -> tuple[int, str, str]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        code = cli.main(["check", *arguments])
        return code, *capsys.readouterr()

    return run


def test_valid_files_are_counted_and_no_environment_is_asked(check: Check) -> None:
    files = {
        "environments.yaml": ENVIRONMENTS,
        "model_tests.yaml": f"Receipts: {{{TEST}, env: [dogfood, sandbox]}}\n",
        "more/model_tests.yml": f"Invoices: {{{TEST}, env: dogfood}}\n",
        ".hidden/model_tests.yaml": "broken",
        "node_modules/model_tests.yaml": "broken",
        "own/pyvenv.cfg": "",
        "own/model_tests.yaml": "broken",
    }
    assert check(files) == (0, "2 model tests on 2 environments: no problems\n", "")
    assert check({}, "more") == (0, "1 model test on 1 environment: no problems\n", "")
    assert check({}, "model_tests.yaml") == (0, "1 model test on 2 environments: no problems\n", "")


def test_every_problem_is_shown_once_with_its_place(check: Check) -> None:
    files = {
        "environments.yaml": ENVIRONMENTS.replace("host:", "hots:"),
        "model_tests.yaml": f"Receipts: {{{TEST}, env: sandbox}}\n",
        "more/model_tests.yaml": f"Receipts:\n  {{{TEST},\n  env: sandbox, marcs: slow}}\n",
    }
    code, out, err = check(files)
    assert (code, err) == (pytest.ExitCode.USAGE_ERROR, "")
    places = [re.match(r"[\w./]+:\d+:\d+: ", line) for line in out.splitlines()]
    assert [place and place[0] for place in places] == [
        "environments.yaml:1:11: ",
        "more/model_tests.yaml:3:17: ",
    ]
    assert "unknown key `hots`: did you mean `host`?" in out
    assert "unknown key `marcs`: did you mean `marks`?" in out


def test_an_unknown_environment_is_a_problem(check: Check) -> None:
    files = {"environments.yaml": ENVIRONMENTS, "model_tests.yaml": f"Receipts: {{{TEST}, env: dogfod}}\n"}
    code, out, _ = check(files)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "unknown environment `dogfod`: did you mean `dogfood`?" in out


def test_a_project_that_only_publishes_has_its_environments_checked(check: Check) -> None:
    assert check({"environments.yaml": ENVIRONMENTS}) == (0, "0 model tests on 1 environment: no problems\n", "")
    code, _, err = check({"environments.yaml": "dogfood: 3\n"})
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: environments.yaml:1:" in err


def test_files_of_another_tool_are_ignored_and_finding_nothing_is_an_error(check: Check) -> None:
    code, out, err = check({"model_tests.yaml": "models: [a, b]\n"})
    assert (code, out) == (pytest.ExitCode.USAGE_ERROR, "")
    assert err == "ERROR: .: found no model tests (model_tests.yaml, model_tests.yml) and no environments.yaml\n"
    code, _, err = check({}, "gone")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "'gone' does not exist" in err


def test_settings_name_the_files(check: Check) -> None:
    files = {
        "pytest.ini": "[pytest]\nibmodels_files = models.yaml\nibmodels_environments = where.yaml\n",
        "models.yaml": f"Receipts: {{{TEST}, env: dogfood}}\n",
        "where.yaml": ENVIRONMENTS,
        "model_tests.yaml": "broken",
    }
    assert check(files) == (0, "1 model test on 1 environment: no problems\n", "")


def test_the_hook_for_pre_commit_runs_the_command() -> None:
    hooks = yaml.safe_load((Path(__file__).parents[1] / ".pre-commit-hooks.yaml").read_text())
    (hook,) = [hook for hook in hooks if hook["id"] == "ibmodels-check"]
    program, command = hook["entry"].split()
    assert program == "ibmodels"
    assert command in typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    matches = [
        name
        for name in ("model_tests.yaml", "a/environments.yml", "my_model_tests.yaml", "x.yaml")
        if re.search(hook["files"], name)
    ]
    assert matches == ["model_tests.yaml", "a/environments.yml"]
    assert hook["pass_filenames"] is False
