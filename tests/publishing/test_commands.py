"""Output and exit codes of `ibmodels`, `publish.py` and `pytest --publish-only`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.publishing.conftest import Shop
    from tests.publishing.gateway import Call, Gateway
    from tests.sandbox.running import RunningSandbox

ROOT = Path(__file__).parents[2]
DEAD = re.compile(r"failed: GET marketplace/list: no answer from http://127.0.0.1:\d+: All connection attempts failed")

pytestmark = pytest.mark.usefixtures("uploads")


@pytest.fixture
def ibmodels(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command and return its exit code and output."""

    def run(*arguments: str) -> tuple[int, str]:
        code = cli.main(arguments)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def rows(printed: str) -> dict[str, list[str]]:
    """Cells of each environment's line, by environment."""
    # Tables of the nodes of sandboxes follow after an empty line.
    header, *lines = (line for line in printed.partition("\n\n")[0].splitlines() if "  " in line)
    assert header.startswith("environment")
    return {(cells := re.split("  +", line))[0]: cells[1:] for line in lines}


def versions(running: RunningSandbox, name: str) -> list[str]:
    listing = running.http.get("/api/v1/marketplace/list").json()
    return [version for app in listing["apps"] if app["name"] == name for version in app["available_versions"]]


def test_from_dry_run_to_unpublish_on_three_environments(
    three: Shop, sandboxes: tuple[RunningSandbox, RunningSandbox], ibmodels: Callable[..., tuple[int, str]]
) -> None:
    name = three.package_name

    def outcomes(printed: str) -> list[str]:
        table = rows(printed)
        assert list(table) == ["dogfood", "staging", "dead"]
        assert all(cells[:2] == [name, "1.0.0"] and float(cells[2]) < 30 for cells in table.values())
        assert DEAD.fullmatch(table["dead"][3])
        return [table[environment][3] for environment in ("dogfood", "staging")]

    code, printed = ibmodels("publish", "--dry-run")
    assert (code, outcomes(printed)) == (1, ["would be published"] * 2)
    assert [versions(running, name) for running in sandboxes] == [[], []]

    code, printed = ibmodels("publish", "--env", "dogfood")
    assert (code, rows(printed)["dogfood"][3]) == (0, "published")
    code, printed = ibmodels("publish")
    assert (code, outcomes(printed)) == (1, ["already there", "published"])
    code, printed = ibmodels("publish", "--env", "dogfood,staging", "--env", "dogfood")
    assert (code, [cells[3] for cells in rows(printed).values()]) == (0, ["already there"] * 2)
    assert [versions(running, name) for running in sandboxes] == [["1.0.0"], ["1.0.0"]]

    code, printed = ibmodels("environments")
    table = rows(printed.replace("token accepted", "token"))
    assert code == 1
    assert [cells[1:] for cells in table.values()] == [["yes", "yes", "1.0.0"]] * 2 + [["no", "-", "-"]]
    assert f"versions of {name}" in printed
    assert "\ndead: GET marketplace/list: no answer from" in printed
    machine = platform.node()
    for environment in ("dogfood", "staging"):
        idle = rf"^{environment}: sandbox \S+, executor local, (\d+) of \1 slots free, 0 jobs in the queue$"
        assert re.search(idle, printed, re.MULTILINE)
    assert len(re.findall(rf"^  {re.escape(machine)} +alive +\d+ +\d+ +[\d.]+ GiB +0 +", printed, re.MULTILINE)) == 2
    assert ibmodels("environments", "--env", "staging")[0] == 0

    this = ("unpublish", "--package", name, "--version", "1.0.0")
    code, printed = ibmodels(*this, "--dry-run")
    assert (code, outcomes(printed)) == (1, ["would be unpublished"] * 2)
    code, printed = ibmodels(*this)
    assert (code, outcomes(printed)) == (1, ["unpublished"] * 2)
    assert [versions(running, name) for running in sandboxes] == [[], []]
    code, printed = ibmodels(*this, "--env", "dogfood")
    assert (code, rows(printed)["dogfood"][3]) == (1, "not there")
    assert "\ndogfood: there is nothing to take back, which counts as a failure without --missing-ok\n" in printed
    code, printed = ibmodels(*this, "--env", "dogfood", "--missing-ok")
    assert (code, rows(printed)["dogfood"][3]) == (0, "not there")
    assert "failure" not in printed


def test_an_environment_that_cannot_be_used_fails_alone_and_tells_no_secret(
    shop: Shop,
    sandboxes: tuple[RunningSandbox, RunningSandbox],
    ibmodels: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = sandboxes[0].announced["url"]
    monkeypatch.setenv("WRONG_TOKEN", "se-cret")
    shop.write_environments(
        good={"host": url},
        unset={"host": url, "token": "${NOT_SET_ANYWHERE}"},
        wrong={"host": url, "token": "${WRONG_TOKEN}"},
        nowhere={"host": "http://999.999.1.1"},
        broken={"host": "sandbox", "token": None, "data": "pytest.ini"},
    )
    text = (shop.folder / "environments.yaml").read_text().replace("  token: null\n", "")
    (shop.folder / "environments.yaml").write_text(text)
    code, printed = ibmodels("publish")
    table = rows(printed)
    assert code == 1
    assert table["good"][3] == "published"
    assert table["unset"][3].startswith("failed: environments.yaml:7:10: environment `unset` needs the variable")
    assert "refused the token (HTTP 401): check `token`" in table["wrong"][3]
    assert table["nowhere"][3].startswith(
        "failed: environment `nowhere`: `host` is not a valid address: Invalid IPv4 address"
    )
    assert table["broken"][3].startswith("failed: the sandbox did not start: ")
    assert "se-cret" not in printed
    code, printed = ibmodels("environments", "--package", shop.package_name, "--env", "good,unset,wrong")
    cells = {name: cells[1:] for name, cells in rows(printed.replace("token accepted", "token")).items()}
    assert cells["good"] == ["yes", "yes", "1.0.0"]
    assert cells["wrong"] == ["yes", "no", "-"]
    assert cells["unset"] == ["-", "-", "-"]
    assert "se-cret" not in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["publish", "--env", "dogfod"],
            "ERROR: --env 'dogfod': no such environment in environments.yaml; known are: ",
        ),
        (["publish", "--env", ""], "ERROR: --env: a name is missing"),
        (["publish", "--package", "nowhere"], "ERROR: nowhere: no such folder"),
        (["publish", "--package", "odd-name"], "'odd-name' is not an identifier"),
        (
            ["publish", "--package", "untyped"],
            'package.json: "solution_type" is missing; it should be a text, "pypkg"',
        ),
        (["publish", "--package", "old"], 'package.json: "version" is "1.0"; it should be a semantic version'),
        (["publish", "--dry"], "No such option"),
        (["unpublish", "--package", "x"], "Missing option '--version'"),
        ([], "Usage: ibmodels"),
    ],
)
def test_wrong_usage_is_a_sentence_and_exits_as_pytest_does(
    three: Shop, ibmodels: Callable[..., tuple[int, str]], arguments: list[str], sentence: str
) -> None:
    for folder, description in {
        "odd-name": {"name": "x", "version": "1.0.0", "solution_type": "pypkg"},
        "untyped": {"name": "x", "version": "1.0.0"},
        "old": {"name": "x", "version": "1.0", "solution_type": "pypkg"},
    }.items():
        (three.folder / folder).mkdir()
        (three.folder / folder / "package.json").write_text(json.dumps(description))
        (three.folder / folder / "code.py").touch()
    code, printed = ibmodels(*arguments)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert sentence in printed
    assert "Traceback" not in printed


def test_a_mistake_in_environments_yaml_is_said_with_its_place(
    shop: Shop, ibmodels: Callable[..., tuple[int, str]]
) -> None:
    shop.write_environments(dogfood={"hots": "https://example.com"})
    code, printed = ibmodels("publish")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: environments.yaml:4:3: unknown key `hots`: did you mean `host`?" in printed
    (shop.folder / "pytest.ini").write_text("[pytest\n")
    code, printed = ibmodels("environments")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {shop.folder}/pytest.ini:1: " in printed
    assert "ERROR: pytest cannot read this project's settings" in printed


def test_a_package_without_a_name_still_lets_environments_be_seen(
    three: Shop, ibmodels: Callable[..., tuple[int, str]]
) -> None:
    (three.folder / "shop" / "package.json").unlink()
    code, printed = ibmodels("environments", "--env", "dogfood")
    assert code == 0
    assert "no versions are shown: " in printed
    assert rows(printed.replace("token accepted", "token").partition("exists\n")[2] or printed)["dogfood"][1:] == [
        "yes",
        "yes",
        "-",
    ]


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_pytest_publishes_in_place_of_a_run(
    three: Shop, sandboxes: tuple[RunningSandbox, RunningSandbox], pytester: pytest.Pytester
) -> None:
    os.chdir(three.folder)
    (three.folder / "test_none.py").write_text("raise AssertionError('this is not to be collected')\n")
    done = run(sys.executable, "-m", "pytest", "--publish-only", "-n", "2", "--env", "dogfood,staging")
    assert done.returncode == 0, done.stderr
    assert [cells[3] for cells in rows(done.stdout).values()] == ["published"] * 2
    assert done.stdout.count("\n") == 3  # the table, and nothing of workers or tests
    three.write_package("2.0.0")
    result = pytester.runpytest_inprocess(
        f"--rootdir={three.folder}", "-c", "pytest.ini", "--publish-only", "--package", "shop", "--dry-run"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["dogfood * 2.0.0 * would be published", "staging *", "dead * failed: GET *"])
    assert [versions(running, three.package_name) for running in sandboxes] == [["1.0.0"], ["1.0.0"]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--publish-only", "-k", "Receipts"], "--publish-only: runs no tests, so -k selects nothing; leave it out"),
        (["--publish-only", "-vkReceipts"], "so -vkReceipts selects nothing"),
        (["--publish-only", "-m", "training"], "so -m selects nothing"),
        (["--publish-only", "--lf"], "so --lf selects nothing"),
        (["--publish-only", "test_a.py::test_b"], "so test_a.py::test_b selects nothing"),
        (["--publish-only", "--collect-only"], "--dry-run shows what would be published"),
        (["--publish-only", "--env", "nowhere"], "--env 'nowhere': no such environment in environments.yaml"),
        (["--publish-only", "--package", "nowhere"], "nowhere: no such folder"),
        (["--dry-run"], "--dry-run: goes with --publish-only; a run of tests has --collect-only"),
    ],
)
def test_what_only_a_run_can_mean_is_refused(pytester: pytest.Pytester, arguments: list[str], sentence: str) -> None:
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert sentence in result.stderr.str()


def test_help_publishes_nothing(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--publish-only", "--help")
    assert result.ret == 0
    assert "--publish-only" in result.stdout.str()
    assert "would be published" not in result.stdout.str()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupt_removes_the_uploaded_file(shop: Shop, gateway: Gateway, number: signal.Signals) -> None:
    arrived, may_go_on = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        if call.what == "POST marketplace/publish":
            arrived.set()
            may_go_on.wait(30)

    gateway.meddle = hold
    shop.write_environments(slow={"host": gateway.url})
    command = [
        sys.executable,
        "-c",
        "import sys; from pytest_ibmodels.cli import main; sys.exit(main())",
        "publish",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert arrived.wait(30)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=20)
    may_go_on.set()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert rows(printed)["slow"][2:] == ["-", "interrupted"]
    assert "Traceback" not in errors
    assert any(call.startswith("DELETE drives/") for call in gateway.calls)


def test_this_repository_is_published_to_its_sandbox() -> None:
    done = run(sys.executable, "publish.py", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout)["sandbox"][3] == "published"
    assert "this sandbox is a temporary one" in done.stdout


def test_a_kept_sandbox_keeps_what_is_published(shop: Shop, ibmodels: Callable[..., tuple[int, str]]) -> None:
    (shop.folder / "environments.yaml").write_text("kept: {host: sandbox, data: state}\n")
    assert "would be published" in ibmodels("publish", "--dry-run")[1]
    assert not (shop.folder / "state").exists()
    code, printed = ibmodels("publish")
    assert (code, rows(printed)["kept"][3]) == (0, "published")
    assert "temporary" not in printed
    assert list((shop.folder / "state").rglob(f"{shop.package_name}-1.0.0.ibsolution"))


def test_the_command_is_installed_and_hands_the_sandbox_over() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="ibmodels")
    assert script.load() is cli.main
    command = "import sys; from pytest_ibmodels.cli import main; sys.exit(main())"
    done = run(sys.executable, "-c", command, "sandbox", "serve", "--help")
    assert done.returncode == 0
    assert "--token-file FILE" in done.stdout


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ibmodels {importlib.metadata.version('pytest-ibmodels')}\n"


@pytest.mark.parametrize("options", ["--run-slow", "--size 3 -m 'not slow'", "--size=3 -n 2 --strict-markers"])
def test_options_of_a_conftest_in_pytest_addopts_are_left_aside(
    shop: Shop, ibmodels: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    shop.write_environments(dead={"host": "http://127.0.0.1:1"})
    (shop.folder / "conftest.py").write_text("raise RuntimeError('the code of the project is not run')")
    monkeypatch.setenv("PYTEST_ADDOPTS", options)
    code, printed = ibmodels("environments")
    assert code == 1
    assert f"versions of {shop.package_name}" in printed
    assert "unrecognized arguments" not in printed


def test_settings_in_pytest_addopts_count_and_what_cannot_be_read_is_said_to_be_there(
    shop: Shop, ibmodels: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--run-slow -o ibmodels_package=other")
    assert "other: no such folder" in ibmodels("publish")[1]
    monkeypatch.setenv("PYTEST_ADDOPTS", "-c gone.ini")
    code, printed = ibmodels("publish")
    assert code == 4
    assert "options of PYTEST_ADDOPTS count, too: -c gone.ini" in printed
