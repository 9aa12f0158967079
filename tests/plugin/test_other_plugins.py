"""With and without the plugins beside us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project, Server


def test_a_timeout_for_ordinary_tests_is_none_of_ours(served: Project) -> None:
    served.write_tests(Slow={"config": {"sleep": 3}})
    served.run("--timeout=1").assert_outcomes(passed=2)


def test_the_backstop_is_behind_every_limit_of_ours(served: Project) -> None:
    served.write_tests(One={"time_limit": 100}, Two={"time_limit": 50}, Other={"time_limit": 10, "env": "staging"})
    served.pytester.makeconftest(
        """
        def pytest_runtest_setup(item):
            mark = item.get_closest_marker("timeout")
            print("BACKSTOP", mark.args[0], mark.kwargs)
        """
    )
    # Two cases of the slower environment, with 100 and 50 s of their own. Each may wait 60 s for the environment,
    # 3600 s in its queue, 300 s for unpacking and 300 s for inference, and has 120 s to spare.
    seconds = 150.0 + 2 * (60 + 3600 + 300 + 300 + 120)
    served.run("-s").stdout.fnmatch_lines([f"*BACKSTOP {seconds} {{'method': 'signal'}}"])


@pytest.mark.parametrize("plugin", ["xdist", "timeout", "capture", "terminal", "junitxml"])
def test_runs_without_the_plugins_beside_us(served: Project, server: Server, plugin: str) -> None:
    served.write_tests(Good={"config": {"sleep": 2}})
    result = served.run("-p", f"no:{plugin}", "-o", "ibmodels_progress_interval=0.5")
    assert result.ret == pytest.ExitCode.OK
    assert server.left_over() == []


def test_a_wrong_setting_is_a_usage_error(served: Project) -> None:
    served.write_tests(Any={})
    result = served.run("-o", "ibmodels_longest_poll=often")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ibmodels_longest_poll = 'often': should be a number of seconds above 0"])


def test_ordinary_tests_beside_model_tests_are_spread_over_workers(served: Project) -> None:
    served.write_tests(Good={"env": ["dogfood", "staging"]})
    served.pytester.makepyfile("import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test_plain(n): pass")
    result = served.run("-n", "2", "-v")
    result.assert_outcomes(passed=12)
    for environment in ("dogfood", "staging"):
        assert (
            len({line.split("]")[0] for line in result.outlines if f"::{environment}::" in line and "PASSED" in line})
            == 1
        )
