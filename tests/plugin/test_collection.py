from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

IDS = [
    "model_tests.yaml::First::sandbox::test_training",
    "model_tests.yaml::First::sandbox::test_inference",
    "model_tests.yaml::First::dogfood::test_training",
    "model_tests.yaml::First::dogfood::test_inference",
    "model_tests.yaml::Second::dogfood::test_training",
    "model_tests.yaml::Second::dogfood::test_inference",
]


@pytest.fixture
def two(project: Project) -> Project:
    project.write_environments(dogfood={"host": "https://ib.example.com", "path": "a/b/fs/D", "token": "${NOT_SET}"})
    project.write_tests(First={"env": ["sandbox", "dogfood"]}, Second={"env": "dogfood"})
    return project


def collected(project: Project, *args: str) -> list[str]:
    result = project.pytester.runpytest_inprocess("--collect-only", "-q", "-p", "no:cacheprovider", *args)
    return [line for line in result.outlines if "::" in line]


def test_an_entry_becomes_two_items_per_environment(two: Project) -> None:
    assert collected(two) == IDS


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["-k", "First"], IDS[:4]),
        (["-k", "dogfood and training"], [IDS[2], IDS[4]]),
        (["-m", "inference"], IDS[1::2]),
        (["--env", "sandbox"], IDS[:2]),
        (["--env", "sandbox,dogfood"], IDS),
        (["--env", "sandbox", "--env", "dogfood", "-m", "training"], IDS[::2]),
        ([IDS[3]], [IDS[3]]),
        (["model_tests.yaml::Second"], IDS[4:]),
        (["-k", "Nothing"], []),
    ],
)
def test_items_are_selected_as_any_other_test(two: Project, args: list[str], wanted: list[str]) -> None:
    assert collected(two, *args) == wanted


def test_an_unknown_environment_is_a_usage_error_that_lists_the_known(two: Project) -> None:
    result = two.run("--env", "dogfod")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --env 'dogfod': no such environment in environments.yaml; known are: dogfood, sandbox"]
    )


@pytest.mark.parametrize("value", ["", "sandbox,", " , "])
def test_env_without_a_name_is_a_usage_error_and_does_not_mean_all(two: Project, value: str) -> None:
    result = two.run("--env", value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --env: a name is missing; *"])


def test_env_leaves_ordinary_tests_alone(two: Project) -> None:
    two.pytester.makepyfile(test_plain="def test_plain(): pass")
    assert collected(two, "--env", "sandbox") == [*IDS[:2], "test_plain.py::test_plain"]


def test_all_errors_of_both_files_come_at_once_and_nothing_runs(project: Project) -> None:
    project.write_environments(dogfood={"hots": "x"})
    (project.pytester.path / "model_tests.yaml").write_text(
        "A b:\n  env: sandbox\nB:\n  env: nowhere\n  time_limit: soon\n"
    )
    project.pytester.makepyfile(test_plain="def test_plain(): pass")
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*environments.yaml:2:3: *hots*", "*model_tests.yaml:1:1: *", "*model_tests.yaml:5:15: *soon*", "*1 error*"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.assert_outcomes(errors=1)


def test_a_failed_item_points_at_its_line_in_the_yaml_file(two: Project) -> None:
    result = two.run("-rA", "model_tests.yaml::Second")
    result.stdout.fnmatch_lines(
        [
            "*_ Second on dogfood: training _*",
            "config: *environments.yaml:4:10: *needs the variable `NOT_SET`*",
            "model test: model_tests.yaml:9",
            "SKIPPED [[]1[]] model_tests.yaml:9: its training failed (config)",
        ]
    )
    result.assert_outcomes(failed=1, skipped=1)


@pytest.mark.parametrize("args", [(), ("-x",), ("-m", "training"), ("-n", "1")])
def test_lf_brings_the_inference_of_a_failed_training_along_as_it_has_not_run(
    two: Project, args: tuple[str, ...]
) -> None:
    # With the cache, which `two.run` leaves out.
    two.server.run(two.pytester, "model_tests.yaml::Second", *args, timeout=None)
    result = two.server.run(two.pytester, "--lf", "--collect-only", "-q", timeout=None)
    assert [line for line in result.outlines if "::" in line] == IDS[4:]


@pytest.mark.parametrize("args", [["--collect-only"], ["-k", "test_plain"], ["--env", "sandbox", "-k", "test_plain"]])
def test_no_selected_model_test_starts_no_engine(two: Project, args: list[str]) -> None:
    two.pytester.makepyfile(test_plain="def test_plain(): pass")
    two.pytester.makeconftest(
        """
        import sys
        def pytest_unconfigure():
            print("ENGINE", any(name.startswith("pytest_ibmodels.engine") or name == "httpx" for name in sys.modules))
        """
    )
    two.pytester.runpytest_subprocess(*args, "-s").stdout.fnmatch_lines(["ENGINE False"])


def test_without_model_tests_the_plugin_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    pytester.makeconftest(
        """
        import sys
        def pytest_unconfigure():
            names = ("cli", "engine", "packaging.gitignore", "pytest.collection", "pytest.nodes", "spec")
            ours = {f"pytest_ibmodels.{name}" for name in names}
            heavy = {"httpx", "pydantic", "yaml", *ours}
            print("HEAVY", sorted(heavy & set(sys.modules)))
        """
    )
    pytester.runpytest_subprocess("-s", "-p", "no:anyio", "-p", "no:hypothesispytest").stdout.fnmatch_lines(
        ["HEAVY []"]
    )


def test_the_markers_are_known(project: Project) -> None:
    project.write_tests(First={"env": "sandbox"})
    result = project.run("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.training: *", "@pytest.mark.inference: *"])
    assert collected(project, "--strict-markers") == IDS[:2]


def test_the_fixtures_belong_to_model_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(model_test): pass")
    pytester.runpytest("-q").stdout.fnmatch_lines(
        ["the fixture 'model_test' belongs to model tests: *.py::test_plain is not one"]
    )
