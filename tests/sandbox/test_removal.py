"""``--remove-at-end``: what a sandbox leaves of the folder that was made for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_ibmodels.sandbox.cli import main
from tests.sandbox.running import TOKEN, RunningSandbox, all_gone
from tests.sandbox.test_server import busy, stop_by_end_of_input, stop_by_sigint, stop_by_sigterm

START_SECONDS = 60
"""Timeout of a process that starts and ends: it imports much, and other tests may run beside it."""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a token file, beside one that is none of the sandbox's business."""
    (tmp_path / "beside").mkdir()
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "data.token").write_text(TOKEN)
    return folder


@pytest.fixture
def run(made: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a sandbox without waiting for it."""
    started: list[subprocess.Popen[bytes]] = []

    def run_one(*options: str, data: Path = made / "data") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--no-preload", "--exit-with-parent"]
        command += ["--data", str(data), "--token-file", str(made / "data.token"), "--remove-at-end", str(made)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen([*command, *options], stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield run_one
    for process in started:
        process.kill()
        with process:  # closes the pipes
            pass


@pytest.mark.parametrize("stop", [stop_by_sigterm, stop_by_sigint, stop_by_end_of_input])
def test_nothing_is_left(
    start: Callable[..., RunningSandbox], made: Path, stop: Callable[[RunningSandbox], None]
) -> None:
    sandbox = start("--remove-at-end", str(made), data=made / "data")
    _job, pids = busy(sandbox)
    stop(sandbox)
    assert sandbox.process.wait(5) == 0
    assert all_gone(pids, seconds=1)
    assert [path.name for path in made.parent.iterdir()] == ["beside"]


def test_nothing_is_left_of_a_sandbox_that_is_told_twice(start: Callable[..., RunningSandbox], made: Path) -> None:
    sandbox = start("--remove-at-end", str(made), data=made / "data")
    busy(sandbox)
    while sandbox.process.poll() is None:
        sandbox.process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    assert sandbox.process.wait() == 0
    assert not made.exists()


def test_nothing_is_left_when_who_started_it_is_killed(made: Path) -> None:
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--no-preload", "--exit-with-parent"]
    command += ["--data", str(made / "data"), "--token-file", str(made / "data.token"), "--remove-at-end", str(made)]
    code = f"import subprocess, time; subprocess.Popen({command!r}, stdin=subprocess.PIPE); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert b"The sandbox answers at" in parent.stdout.readline()
        assert made.exists()
        parent.kill()
    assert gone(made)


def test_nothing_is_left_when_nobody_hears_the_announcement(
    run: Callable[..., subprocess.Popen[bytes]], made: Path
) -> None:
    process = run("--announce")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    process.wait(START_SECONDS)
    assert not made.exists()


def test_a_signal_while_it_starts(run: Callable[..., subprocess.Popen[bytes]], made: Path) -> None:
    process = run()
    # As soon as it listens to signals, which is long before it listens for requests.
    status = Path(f"/proc/{process.pid}/status")
    while not catches(status.read_text(), signal.SIGTERM):
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert process.communicate() == (b"", b"")
    assert not made.exists()


def test_a_start_that_fails(run: Callable[..., subprocess.Popen[bytes]], made: Path) -> None:
    process = run("--mount", "nonsense")
    _out, said = process.communicate(timeout=START_SECONDS)
    assert (process.returncode, b"expected DRIVE_FOLDER=SOURCE" in said) == (2, True)
    assert not made.exists()


def test_data_elsewhere_stays(run: Callable[..., subprocess.Popen[bytes]], made: Path) -> None:
    elsewhere = made.parent / "elsewhere"
    process = run(data=elsewhere)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    assert process.wait(5) == 0
    assert not made.exists()
    assert (elsewhere / "sandbox.sqlite").exists()


def test_data_of_another_sandbox_stays(
    start: Callable[..., RunningSandbox], run: Callable[..., subprocess.Popen[bytes]], made: Path
) -> None:
    sandbox = start(data=made / "data")
    process = run()
    assert process.wait(START_SECONDS) == 1
    assert sandbox.write("a/b/fs/c/file", b"x")["status"] == "OK"


@pytest.mark.parametrize("which", ["beside", ".", "made/data.token", "home"])
def test_a_folder_that_was_not_made_for_it_is_refused(
    made: Path, which: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(made if which == "home" else Path.home()))
    folder = made if which == "home" else made.parent / which
    options = ["--data", str(made / "data"), "--token-file", str(made / "data.token"), "--remove-at-end", str(folder)]
    assert main(["serve", *options]) == 2
    assert "expected the folder that holds the token file" in capsys.readouterr().err
    assert (made / "data.token").exists()
    assert (made.parent / "beside").exists()


def catches(status: str, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, by the text of ``/proc/PID/status``."""
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def gone(folder: Path, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and os.path.lexists(folder):
        time.sleep(0.02)
    return not os.path.lexists(folder)
