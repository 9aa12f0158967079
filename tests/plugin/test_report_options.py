"""Mistakes that are told before anything is started, and reports without runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest.xdist import scope_of

if TYPE_CHECKING:
    from tests.plugin.conftest import Project


def run(project: Project, *args: str) -> pytest.RunResult:
    return project.pytester.runpytest_inprocess("-p", "no:cacheprovider", *args)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("report.xml", "unknown format; the name of the file has to end in .json or .html"),
        ("report", "unknown format; the name of the file has to end in .json or .html"),
        ("tox.ini/report.json", "its folder cannot be made: *"),
        ("folder.json", "this is a folder, not a file"),
    ],
)
def test_a_report_that_cannot_be_written_is_a_usage_error(project: Project, name: str, reason: str) -> None:
    (project.pytester.path / "folder.json").mkdir()
    result = run(project, "--model-report", name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --model-report {name}: {reason}"])


def test_a_session_without_model_tests_writes_a_report_without_runs(project: Project) -> None:
    project.pytester.makepyfile("def test_plain(): pass")
    assert run(project, "--model-report", "new/a.json", "--model-report", "b.json").ret == 0
    first, second = ((project.pytester.path / name).read_text() for name in ("new/a.json", "b.json"))
    assert first == second
    assert json.loads(first)["runs"] == []
    assert [path.name for path in (project.pytester.path / "new").iterdir()] == ["a.json"]


def test_nothing_is_written_where_tests_are_only_collected(project: Project) -> None:
    project.write_tests(Any={"env": "sandbox"})
    assert run(project, "--model-report", "a.json", "--collect-only").ret == 0
    assert not (project.pytester.path / "a.json").exists()


@pytest.mark.parametrize("mode", ["each", "worksteal", "loadgroup"])
def test_a_mode_that_tears_phases_apart_is_a_usage_error_that_names_the_right_one(project: Project, mode: str) -> None:
    project.write_tests(Any={"env": "sandbox"})
    result = run(project, "-n", "2", "--dist", mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --dist {mode}: *; for model tests use --dist load, which -n means by itself*"]
    )


@pytest.mark.parametrize(
    ("mode", "other"),
    [("load", "a/test_x.py::Class::test_y"), ("loadfile", "a/test_x.py"), ("loadscope", "a/test_x.py::Class")],
)
def test_other_tests_go_as_the_mode_says(mode: str, other: str) -> None:
    assert scope_of("a/test_x.py::Class::test_y", mode) == other
    assert scope_of("model_tests.yaml::Test::dogfood::test_training", mode) == "dogfood"
