"""The plugin installed where others have the same names: options, fixtures, files; and where settings are written."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import TOKEN

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

OPTIONS = ["--env", "--package", "--publish-only", "--dry-run", "--reattach", "--promote", "--model-report"]
ADDOPTION = """
def pytest_addoption(parser):
    parser.addoption("{option}", default="theirs")
"""


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("where", ["conftest", "plugin", "late conftest"])
def test_an_option_of_a_project_or_another_plugin_is_theirs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, where: str
) -> None:
    folder = pytester.mkdir("deep") if where == "late conftest" else pytester.path
    code = ADDOPTION.format(option=option)
    code += f"\ndef pytest_report_header(config):\n    return 'VALUE ' + config.getoption('{option}')\n"
    (folder / ("theirs.py" if where == "plugin" else "conftest.py")).write_text(code)
    (folder / "test_plain.py").write_text(
        f"def test_plain(pytestconfig): assert pytestconfig.getoption('{option}') in ('theirs', 'mine')"
    )
    args = ["-p", "theirs"] if where == "plugin" else []
    monkeypatch.syspath_prepend(pytester.path)
    result = pytester.runpytest_inprocess(*args)
    result.assert_outcomes(passed=1)
    if where != "late conftest":
        result = pytester.runpytest_inprocess(*args, option, "mine")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["VALUE mine"])


def test_where_the_short_name_is_taken_the_long_one_is_ours(project: Project) -> None:
    project.write_tests(One={"env": "sandbox"})
    project.pytester.makeconftest(ADDOPTION.format(option="--env"))
    result = project.pytester.runpytest_inprocess("--env=dev", "--ibmodels-env=nowhere")
    result.stderr.fnmatch_lines(["ERROR: --ibmodels-env 'nowhere': no such environment in environments.yaml; *"])
    result = project.pytester.runpytest_inprocess("--collect-only", "-q", "--env=dev", "--ibmodels-env=sandbox")
    result.stdout.fnmatch_lines(["model_tests.yaml::One::sandbox::test_training"])


def test_the_help_names_both_names(project: Project) -> None:
    project.pytester.makeconftest(ADDOPTION.format(option="--promote"))
    lines = project.pytester.runpytest_inprocess("--help").stdout
    lines.fnmatch_lines(["*--ibmodels-env=NAME*", "*--env=NAME *the same as --ibmodels-env*"])
    lines.no_fnmatch_line("*the same as --ibmodels-promote")


@pytest.mark.parametrize("option", ["--package", "--ibmodels-package", "PYTEST_ADDOPTS"])
def test_a_folder_behind_a_blank_does_not_move_the_root_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    project.write_tests(One={"env": "sandbox"})
    project.pytester.makeconftest(
        "def pytest_addoption(parser): parser.addoption('--run-slow', action='store_true')\n"
        "def pytest_report_header(config): return f'PACKAGE {config.getoption(\"ibmodels_package\")}'"
    )
    other = project.pytester.path.parent / f"{project.pytester.path.name}-other"
    other.mkdir()
    (other / "pytest.ini").write_text("[pytest]\n")
    args = ["--collect-only", "--run-slow"]
    if option == "PYTEST_ADDOPTS":
        monkeypatch.setenv(option, f"--package '{other}'")
    else:
        args += [option, str(other)]
    result = project.run(*args)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([f"PACKAGE {other}", f"rootdir: {project.pytester.path}", "collected 2 items"])


def test_an_environment_behind_a_blank_leaves_testpaths_alone(project: Project) -> None:
    folder = project.pytester.mkdir("models")
    project.write_tests(One={"env": "sandbox"})
    (project.pytester.path / "model_tests.yaml").rename(folder / "model_tests.yaml")
    (folder / "conftest.py").write_text(ADDOPTION.format(option="--of-theirs"))
    project.pytester.makeini("[pytest]\ntestpaths = models\n")
    result = project.pytester.runpytest_inprocess("--collect-only", "-q", "--env", "sandbox", "--of-theirs=1")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["models/model_tests.yaml::One::sandbox::test_training"])


FIXTURES = """
import pytest
@pytest.fixture
def environment(): return "theirs"
@pytest.fixture(scope="session")
def package(): return "theirs"
"""
USE = "def test_plain(environment, package): assert (environment, package) == ('theirs', 'theirs')"


@pytest.mark.parametrize("has_model_tests", [False, True])
@pytest.mark.parametrize("folder", ["site-packages", "of_the_project"])
def test_fixtures_of_another_plugin_are_theirs_for_its_tests_and_ours_for_model_tests(
    served: Project, monkeypatch: pytest.MonkeyPatch, has_model_tests: bool, folder: str
) -> None:
    packages = served.pytester.path / folder
    packages.mkdir()
    (packages / "theirs.py").write_text(FIXTURES)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    served.pytester.makepyfile(test_plain=USE)
    if has_model_tests:
        served.write_tests(One={})
    served.run("-p", "theirs").assert_outcomes(passed=3 if has_model_tests else 1)


@pytest.mark.parametrize(
    "args",
    [
        ["-W", "error", "--strict-markers", "--strict-config"],
        ["-p", "no:xdist", "-p", "no:timeout"],
        ["-p", "no:cacheprovider", "-p", "no:terminal"],
        ["-p", "no:cacheprovider", "-n", "2"],
        ["--lf"],
        ["-x", "-n", "2"],
    ],
)
def test_a_project_without_model_tests_runs_as_ever(pytester: pytest.Pytester, args: list[str]) -> None:
    pytester.makeini("[pytest]\nmarkers =\n    training: theirs\n    inference: theirs\n")
    pytester.makeconftest(FIXTURES)
    pytester.makepyfile(f"import pytest\n@pytest.mark.training\n{USE}")
    (pytester.path / "model_tests.yaml").write_text("- name: a table\n  env: prod\n  checks: [{not_null: id}]\n")
    assert pytester.runpytest_subprocess(*args).ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- name: orders\n  env: prod\n",
        "models:\n  orders: {config: {}, metrics: [a]}\n",
        "version: 2\n---\nother: document\n",
        "{% for model in models %}\n{{ model }}:\n",
        "tests: !include other.yaml\n",
        "\x00\x01\x02",
    ],
)
def test_a_file_of_somebody_else_is_left_alone_and_said(pytester: pytest.Pytester, text: str) -> None:
    pytester.makepyfile("def test_plain(): pass")
    (pytester.path / "model_tests.yaml").write_text(text)
    result = pytester.runpytest_inprocess("-W", "error")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no model tests of pytest-ibmodels: model_tests.yaml; *"])


@pytest.mark.parametrize(
    "text",
    [
        "One:\n  env: sandbox\n  ibanotator: a\n  time_limit: 60\n",
        "One:\n  env: sandbox\n  ibannotator: [\n",
        "One:\n\tenv: sandbox\n",
    ],
)
def test_a_mistake_in_model_tests_is_told_without_any_setting(pytester: pytest.Pytester, text: str) -> None:
    (pytester.path / "model_tests.yaml").write_text(text)
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.INTERRUPTED


def test_a_file_that_is_asked_for_by_its_path_is_ours(pytester: pytest.Pytester) -> None:
    (pytester.path / "model_tests.yaml").write_text("- name: orders\n")
    assert pytester.runpytest_inprocess("model_tests.yaml").ret == pytest.ExitCode.INTERRUPTED


TOML = [
    ('ibmodels_queue_limit = 60\nibmodels_longest_poll = 0.5\nibmodels_files = ["a.yaml", "model_tests.yaml"]', ""),
    ('ibmodels_queue_limit = "60"\nibmodels_files = "a.yaml model_tests.yaml"', ""),
    ("ibmodels_queue_limit = [60]", "ibmodels_queue_limit should be a number of seconds above 0"),
    ("ibmodels_queue_limit = 0", "ibmodels_queue_limit = 0: should be a number of seconds above 0"),
    ("ibmodels_queue_limit = true", "ibmodels_queue_limit should be a number of seconds above 0"),
    ("ibmodels_files = [3]", "ibmodels_files should be a list of texts"),
    ("ibmodels_files = []", "ibmodels_files = []: should be names of files, as a list of texts"),
    ("ibmodels_package = 3", "ibmodels_package should be a text"),
    ('ibmodels_environments = ["x"]', "ibmodels_environments should be a text"),
]


@pytest.mark.parametrize(("settings", "error"), TOML)
@pytest.mark.parametrize("file", ["pyproject.toml", "pytest.toml"])
def test_settings_of_native_toml_are_numbers_texts_and_lists(
    project: Project, settings: str, error: str, file: str
) -> None:
    project.write_tests(One={"env": "sandbox"})
    (project.pytester.path / "tox.ini").unlink()
    table = "tool.pytest" if file == "pyproject.toml" else "pytest"
    (project.pytester.path / file).write_text(f"[{table}]\n{settings}\n")
    result = project.pytester.runpytest_inprocess("--collect-only", "-q")
    if error:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *{error.replace('[', '[[]')}"])
    else:
        result.stdout.fnmatch_lines(["model_tests.yaml::One::sandbox::test_training"])


def test_a_missing_file_of_environments_is_said_with_its_path_and_what_to_set(project: Project) -> None:
    project.write_tests(One={"env": "dogfood"})
    root = project.pytester.path
    (root / "environments.yaml").unlink(missing_ok=True)
    advice = f"there is no {root}/environments.yaml, *root folder, which is {root}: set it with --rootdir, or set *"
    result = project.pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines([f"*unknown environment `dogfood`*{advice}"])
    result = project.pytester.runpytest_inprocess("--env", "dogfood")
    result.stderr.fnmatch_lines([f"ERROR: --env 'dogfood': no such environment*{advice}"])


def test_environments_yml_is_read_where_the_other_is_not_there(project: Project) -> None:
    project.write_tests(One={"env": "dogfood"})
    project.write_environments(dogfood={"host": "https://ib.example.com", "path": "a/b/fs/D", "token": "${NOT_SET}"})
    (project.pytester.path / "environments.yaml").rename(project.pytester.path / "environments.yml")
    result = project.pytester.runpytest_inprocess("--collect-only", "-q", "--env", "dogfood")
    result.stdout.fnmatch_lines(["model_tests.yaml::One::dogfood::test_training"])


def test_a_journal_that_cannot_be_written_is_not_called_left_behind(served: Project) -> None:
    served.write_tests(One={})
    (served.pytester.path / ".pytest_cache").write_text("no folder")
    result = served.run()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["  note: the journal *journal.sqlite cannot be written *"])
    result.stdout.no_fnmatch_line("*left behind*")


def test_the_plugin_may_be_named_by_a_conftest(served: Project) -> None:
    served.write_tests(One={"env": ["dogfood", "staging"]})
    served.pytester.makeconftest("pytest_plugins = ['pytest_ibmodels.plugin']")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--env", "dogfood"]
    environ = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "DOGFOOD_TOKEN": TOKEN}
    done = subprocess.run(
        command, cwd=served.pytester.path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert [line for line in done.stdout.splitlines() if "::" in line] == [
        "model_tests.yaml::One::dogfood::test_training",
        "model_tests.yaml::One::dogfood::test_inference",
    ], done.stdout + done.stderr
