"""Workers: what is scheduled how is decided by what they collected, however they came to collect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugin.conftest import Project, Server


def linked(project: Project) -> list[str]:
    elsewhere = project.pytester.mkdir("elsewhere")
    (project.pytester.path / "model_tests.yaml").rename(elsewhere / "model_tests.yaml")
    (project.pytester.path / "norecursedirs").mkdir()
    elsewhere = elsewhere.rename(project.pytester.path / "norecursedirs" / "elsewhere")
    (project.pytester.path / "models").symlink_to(elsewhere)
    return ["-o", "norecursedirs=norecursedirs"]


def by_package(project: Project) -> list[str]:
    package = project.pytester.mkpydir("models_of_ours")
    (project.pytester.path / "model_tests.yaml").rename(package / "model_tests.yaml")
    return ["--pyargs", "models_of_ours", "-o", "pythonpath=."]


def by_node_id(project: Project) -> list[str]:
    return ["model_tests.yaml::One", "model_tests.yaml::Two"]


def by_config_file(project: Project) -> list[str]:
    folder = project.pytester.mkdir("ci")
    (project.pytester.path / "tox.ini").rename(folder / "tox.ini")
    return ["-c", "ci/tox.ini", "--rootdir=."]


def by_conftest(project: Project) -> list[str]:
    (project.pytester.path / "model_tests.yaml").rename(project.pytester.path / "cases.yaml")
    project.pytester.makeconftest(
        """
from pytest_ibmodels import ModelTestsNode
def pytest_collect_file(file_path, parent):
    if file_path.name == "cases.yaml":
        return ModelTestsNode.from_parent(parent, path=file_path)
"""
    )
    return []


WAYS = [linked, by_package, by_node_id, by_config_file, by_conftest]


@pytest.mark.parametrize("way", WAYS)
def test_each_case_is_trained_once_however_it_was_collected(
    served: Project, server: Server, way: Callable[[Project], list[str]]
) -> None:
    served.write_tests(One={"env": ["dogfood", "staging"]}, Two={"env": ["dogfood", "staging"]})
    args = way(served)
    before = server.jobs("train")
    result = served.run("-v", "-n", "2", *args)
    result.assert_outcomes(passed=8)
    assert server.jobs("train") - before == 4
    result.stdout.fnmatch_lines(["scheduling tests via EnvironmentScheduling"])


@pytest.mark.parametrize("way", [linked, by_package])
def test_a_mode_that_tears_phases_apart_is_refused_once_model_tests_were_collected(
    served: Project, server: Server, way: Callable[[Project], list[str]]
) -> None:
    served.write_tests(One={})
    args = way(served)
    before = server.jobs("train")
    result = served.run("-n", "2", "--dist", "each", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --dist each: *; for model tests use --dist load, which -n means by itself*"])
    assert server.jobs("train") == before


def test_a_scheduler_of_somebody_else_is_refused_for_model_tests(served: Project) -> None:
    served.write_tests(One={})
    served.pytester.makeconftest(
        """
from xdist.scheduler import LoadScheduling
class Other(LoadScheduling): pass
def pytest_xdist_make_scheduler(config, log): return Other(config, log)
"""
    )
    result = served.run("-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: the scheduler Other of another plugin is not known to keep *"])


@pytest.mark.parametrize(
    ("mode", "scheduler"), [("each", "EachScheduling"), ("load", "LoadScheduling"), ("worksteal", "WorkStealing*")]
)
def test_without_model_tests_xdist_schedules_by_itself(pytester: pytest.Pytester, mode: str, scheduler: str) -> None:
    pytester.makepyfile("def test_plain(): pass")
    result = pytester.runpytest_subprocess("-v", "-n", "2", "--dist", mode)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([f"scheduling tests via {scheduler}"])
