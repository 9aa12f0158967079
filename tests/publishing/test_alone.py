"""What is wrong with one environment, or only counts for it, leaves the others alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.engine import publishing
from pytest_ibmodels.engine.connection import for_each_environment
from pytest_ibmodels.engine.sweep import SweepStatus, sweep_environments
from pytest_ibmodels.instabase import policy
from pytest_ibmodels.journal.store import Journal
from pytest_ibmodels.spec import load_environments
from tests.faults.drip import DripServer
from tests.publishing.gateway import Reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.publishing.conftest import Shop
    from tests.publishing.gateway import Gateway
    from tests.sandbox.running import RunningSandbox

MAIN = "import sys; from pytest_ibmodels.cli.main import main; sys.exit(main(sys.argv[1:]))"


def ibmodels(*arguments: str) -> tuple[int, str]:
    """In a process of its own: its exit code, and what it printed."""
    command = [sys.executable, "-c", MAIN, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def two(shop: Shop, sandboxes: tuple[RunningSandbox, RunningSandbox]) -> Shop:
    """A project with `dogfood`, which answers, and `far`, which is asked with the variables of the machine."""
    shop.write_environments(dogfood={"host": sandboxes[0].announced["url"]}, far={"host": "https://far.invalid"})
    return shop


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SSL_CERT_FILE", "/none.pem", "SSL_CERT_FILE names /none.pem, which does not exist"),
        ("HTTPS_PROXY", "http://proxy:port", "HTTPS_PROXY does not name a valid proxy: Invalid port"),
        ("ALL_PROXY", "socks5://127.0.0.1:1080", "ALL_PROXY names a SOCKS proxy, which needs the package socksio"),
        ("NO_PROXY", "[::1],fd00::/8", "no answer from https://far.invalid: "),
    ],
)
def test_a_variable_that_spoils_the_connection_is_told_and_the_others_are_visited(
    two: Shop, variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    code, printed = ibmodels("environments", "--package", "none")
    assert code == 1
    assert "Traceback" not in printed
    assert "Error" not in printed
    assert reason in printed
    assert f"dogfood      {load_environments(two.folder / 'environments.yaml').environments['dogfood'].host}" in printed
    assert "yes        yes             none" in printed


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_a_letter_gets_an_escape_for_it(
    two: Shop, gateway: Gateway, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    gateway.meddle = lambda _call: Reply(404, "nothing to be seen here " * 40)
    two.write_environments(odd={"host": gateway.url}, dogfood={"host": str(gateway._client.base_url)})
    for command in (
        ("publish",),
        ("environments",),
        ("unpublish", "--package", two.package_name, "--version", "1.0.0"),
    ):
        code, printed = ibmodels(*command)
        assert code == 1
        assert "Traceback" not in printed
        assert "here nothing \\u2026'" in printed
        assert "dogfood" in printed.splitlines()[-2] + printed.splitlines()[-3]
    (two.folder / "shop" / "caf\u00e9.py\u2026").symlink_to("caf\u00e9.py\u2026")
    code, printed = ibmodels("publish")
    assert (code, printed.count("\n")) == (4, 1)
    assert printed.endswith(".py\\u2026: cannot be read: Too many levels of symbolic links\n")


def test_an_answer_that_is_nested_deep_is_that_environments_failure(two: Shop, gateway: Gateway) -> None:
    gateway.meddle = lambda _call: Reply(200, "[" * 100_000)
    two.write_environments(deep={"host": gateway.url}, dogfood={"host": str(gateway._client.base_url)})
    code, printed = ibmodels("publish")
    assert code == 1
    assert "failed: GET marketplace/list: the answer is nested more than 200 levels deep: '[[[" in printed
    assert "  published\n" in printed
    assert "Traceback" not in printed


def test_whatever_is_raised_is_that_environments_outcome(
    two: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pytest_ibmodels.spec import Environment

    resolve = Environment.resolve

    def spoiled(environment: Environment, environ: dict[str, str]) -> object:
        if environment.name == "far":
            raise ZeroDivisionError("a fault of ours")
        return resolve(environment, environ)

    monkeypatch.setattr(Environment, "resolve", spoiled)
    known = load_environments(two.folder / "environments.yaml").environments
    package = two.package()
    targets = list(known.values())
    published, _ = for_each_environment(targets, lambda target: publishing.publish(target, package))
    assert [published[name].state for name in ("dogfood", "far")] == ["published", "failed"]
    assert published["far"].reason == "ZeroDivisionError: a fault of ours"
    seen, _ = for_each_environment(targets, lambda target: publishing.environment_facts(target, package.name))
    assert (seen["dogfood"].versions, seen["far"].versions) == (("1.0.0",), None)
    assert (seen["far"].is_reachable, seen["far"].problem) == (None, "ZeroDivisionError: a fault of ours")
    journal = Journal(tmp_path / "journal.sqlite")
    entries = [journal.new_entry(name, "somewhere", "folder", "acme/x") for name in ("dogfood", "far")]
    swept, _ = sweep_environments(known, entries, journal)
    journal.close()
    assert [(one.entry.environment, one.status) for one in swept] == [
        ("dogfood", SweepStatus.LEFT),
        ("far", SweepStatus.LEFT),
    ]
    assert swept[1].reason == "ZeroDivisionError: a fault of ours"


def test_an_environment_that_drips_is_given_up_and_shown(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "LIST", replace(policy.LIST, timeout=1.0))
    with DripServer() as server:
        facts = asyncio.run(publishing.environment_facts(shop.environment(server.url), "none"))
    assert facts.is_reachable is False
    assert facts.problem.endswith(f"{server.url} did not send a complete answer within 1 s")
