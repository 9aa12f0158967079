"""pytest-timeout beside model tests: nothing is left running by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugin.conftest import Project, Server


def test_a_timeout_of_the_method_thread_ends_the_run_and_not_pytest(served: Project, server: Server) -> None:
    served.write_tests(Slow={"config": {"sleep": 60}}, Good={})
    served.pytester.makeconftest(
        """
        import pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                if "Slow" in item.nodeid and "training" in item.name:
                    item.add_marker(pytest.mark.timeout(3, method="thread"))
        """
    )
    result = served.run("--junitxml=junit.xml")
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["time limit: the item did not end within its timeout of 3 s", "job * was cancelled"],
    )
    assert "timeout of 3 s" in (served.pytester.path / "junit.xml").read_text()
    assert server.left_over() == []
    assert server.training_processes() == []
