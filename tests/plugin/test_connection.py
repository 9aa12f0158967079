"""Failures of items whose environment cannot be asked at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults.drip import DripServer
from tests.plugin.conftest import ROOT

if TYPE_CHECKING:
    import pytest

    from tests.plugin.conftest import Project


def test_a_variable_that_spoils_the_connection_is_config_and_names_it(
    served: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (served.pytester.path / "environments.yaml").read_text()
    far = f"far:\n  host: https://far.invalid\n  path: {ROOT}\n  token: ${{DOGFOOD_TOKEN}}\n"
    (served.pytester.path / "environments.yaml").write_text(text + far)
    served.write_tests(Good={"env": ["dogfood", "far"]})
    monkeypatch.setenv("SSL_CERT_FILE", "/none.pem")
    result = served.run()
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["config: environment `far`: SSL_CERT_FILE names /none.pem, which does not exist"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_an_environment_whose_answers_never_end_is_given_up_within_the_upload_limit(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOGFOOD_TOKEN", "token-of-the-test")
    begun = time.monotonic()
    with DripServer() as server:
        project.write_environments(slow={"host": server.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}"})
        project.write_tests(Good={"env": "slow"})
        result = project.run("-o", "ibmodels_upload_limit=3")
    assert time.monotonic() - begun < 40
    result.assert_outcomes(failed=1, skipped=1)
    reason = "http://127.0.0.1:* did not send a complete answer within 3 s; tried for 3 s, as long as*"
    result.stdout.fnmatch_lines([f"environment unavailable: {reason}"])


def test_a_package_that_cannot_be_read_is_config(served: Project) -> None:
    served.write_tests(Good={})
    (served.pytester.path / "tiny" / "self").symlink_to("self")
    result = served.run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["config: */tiny/self: cannot be read: Too many levels of symbolic links"])


def test_a_terminal_without_a_letter_shows_tables_all_the_same(
    served: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    served.write_tests(Low={"config": {"log": "caf\u00e9"}, "metrics": {"f1": {"Name": 1.1, "Pr\u00e9nom": 0.9}}})
    for options in ((), ("-n", "1")):
        result = served.run(*options)
        lines = result.stdout.lines
        header = next(
            index for index, line in enumerate(lines) if line.split() == ["metric", "field", "required", "observed"]
        )
        assert lines[header + 1].split()[:4] == ["f1", "Name", "1.1000", "1.0000"]
        assert lines[header + 2].split()[:3] == ["f1", "Pr\\xe9nom", "0.9000"]
        assert "model test: model_tests.yaml:1" in lines
    (served.pytester.path / "model_tests.yaml").write_text(
        "Caf\u00e9:\n  env: nowhere\nTh\u00e9:\n  env: dogfood\n", encoding="utf-8"
    )
    result = served.run()
    assert sum(line.startswith("model_tests.yaml:") for line in result.stdout.lines) > 3
