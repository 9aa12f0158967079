"""Starting, stopping, and dying: what survives, and what must not."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from pytest_ibmodels.sandbox.cli import app, main
from pytest_ibmodels.sandbox.errors import UsageError
from pytest_ibmodels.sandbox.settings import DAY, GIB, MIB, Settings
from pytest_ibmodels.sandbox.storage.mounts import Mount
from tests.sandbox.pushed import PACKAGE, document, model_package, training_package
from tests.sandbox.running import TOKEN, HalfUpload, RunningSandbox, all_gone, soon

DOCS = Path(__file__).parents[2] / "docs" / "sandbox.md"
DRIVE = "a/b/fs/c"
RESTARTED = "the sandbox was restarted while this job was running"


def serve(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--token-file", str(token_file)]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=20, check=False)


def busy(sandbox: RunningSandbox) -> tuple[str, list[int]]:
    """A sandbox with a job that runs and a model that is loaded; the job, and all processes."""
    sandbox.push(f"{DRIVE}/code", training_package())
    sandbox.push(f"{DRIVE}/model", model_package("Total"))
    sandbox.write(f"{DRIVE}/a.ibocr", document("Total 12"))
    job = sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.sleep")
    body = {"model_name": "m", "input_path": f"{DRIVE}/a.ibocr", "model_fs_path": f"{DRIVE}/model"}
    model = sandbox.api("model-service/run", body)
    pids = [*sandbox.wait_for_report(job, "pids"), model["pid"], *(process.pid for process in sandbox.family())]
    return job, pids


def stop_by_sigterm(sandbox: RunningSandbox) -> None:
    sandbox.process.send_signal(signal.SIGTERM)


def stop_by_sigint(sandbox: RunningSandbox) -> None:
    sandbox.process.send_signal(signal.SIGINT)


def stop_by_end_of_input(sandbox: RunningSandbox) -> None:
    assert sandbox.process.stdin is not None
    sandbox.process.stdin.close()


@pytest.mark.parametrize("stop", [stop_by_sigterm, stop_by_sigint, stop_by_end_of_input])
def test_a_stop_leaves_no_process(start: Callable[..., RunningSandbox], stop: Callable[[RunningSandbox], None]) -> None:
    sandbox = start()
    _job, pids = busy(sandbox)
    began = time.monotonic()
    stop(sandbox)
    assert sandbox.process.wait(5) == 0
    assert time.monotonic() - began < 3
    assert all_gone(pids, seconds=1)
    assert not list(sandbox.data.joinpath("jobs").glob("*/scratch/*"))


def test_a_killed_server_takes_its_processes_along_and_loses_nothing(start: Callable[..., RunningSandbox]) -> None:
    sandbox = start()
    done = sandbox.drive("POST", f"{DRIVE}/none/move", {"new_full_path": f"{DRIVE}/nothing"})["job_id"]
    before = sandbox.wait(done)
    job, pids = busy(sandbox)
    waiting = [sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.sleep") for _ in range(4)][-1]
    sandbox.write(f"{DRIVE}/file", b"as before")
    uploads = [HalfUpload(sandbox, f"{DRIVE}/{name}", b"x" * 6 * MIB) for name in ("file", "new")]
    sandbox.process.kill()
    sandbox.process.wait(5)
    for upload in uploads:
        upload.connection.close()
    assert all_gone(pids, seconds=5)
    again = start()
    for lost in (job, waiting):
        status = again.status(lost)
        assert (status["state"], status["status"], status["msg"]) == ("DONE", "ERROR", RESTARTED)
        assert status["results"][0]["error"] == RESTARTED
        assert json.loads(status["cur_status"])["task_state"] == "ERROR"
    assert "pids" in again.task_data(job)
    assert again.status(done) == before
    assert again.read(f"{DRIVE}/code/package.json") == b"{}"
    assert again.read(f"{DRIVE}/file") == b"as before"
    assert "new" not in again.names(DRIVE)
    assert list((again.data / "tmp").iterdir()) == []


def test_a_registered_model_survives_a_restart_and_an_old_job_does_not(start: Callable[..., RunningSandbox]) -> None:
    sandbox = start()
    ended = sandbox.drive("POST", f"{DRIVE}/none/move", {"new_full_path": f"{DRIVE}/nothing"})["job_id"]
    assert sandbox.wait(ended)["msg"] == f"'{DRIVE}/none' does not exist"
    sandbox.push(f"{DRIVE}/save/saved_model", model_package("Total"))
    sandbox.write(f"{DRIVE}/a.ibocr", document("Sum 12"))
    body = {"model_path": f"{DRIVE}/save/saved_model", "dev_input_folder": DRIVE, "model_name": "M"}
    body |= {"refiner_path": "x.ibrefiner", "annotator_dir": f"{DRIVE}/save"}
    exported = sandbox.api("annotator/export_model", {**body, "extracted_fields": ["Total"]})
    assert exported["status"] == "OK"
    sandbox.close()
    again = start("--keep-jobs", "1e-9")
    soon(lambda: again.status(ended)["msg"] == f"there is no job '{ended}'")
    assert again.api("model-service/run", {"model_name": "M", "input_path": f"{DRIVE}/a.ibocr"})["status"] == "OK"


def test_the_announcement(sandbox: RunningSandbox) -> None:
    assert set(sandbox.announced) == {"url", "pid"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", sandbox.announced["url"])
    assert sandbox.announced["pid"] == sandbox.process.pid


def main_of(*options: str) -> int:
    """The command line in this process; good for what does not get as far as serving."""
    return main(["serve", *options])


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--port", "70000"], 2, "70000 is no port"),
        (["--data", "FOLDER/file"], 1, "cannot be used: File exists"),
        (["--data", "/proc/none"], 1, "the data folder '/proc/none' cannot be used"),
        (["--mount", "nonsense"], 2, "expected DRIVE_FOLDER=SOURCE"),
        (["--mount", "a/../c=x"], 2, "are not allowed"),
        (["--mount", "a/b/fs/c/d=sample:none"], 2, "there are: drivers-licenses"),
        (["--mount", "a/b/fs/c/d=FOLDER/none"], 2, "is not a folder on this machine"),
        (["--mount", "a/b/fs=FOLDER"], 2, "names no folder in a drive"),
        (["--mount", "a/b/fs/c/d=FOLDER", "--mount", "a/b/fs/c=FOLDER"], 2, "overlaps"),
        (["--mount", "a/b/fs/c/year=2024=FOLDER/none"], 2, "is not a folder on this machine"),
        (["--mount", '["a/b/fs/c/d=e", "FOLDER/none"]'], 2, "is not a folder on this machine"),
        (["--mount", "a/b/fs/c/d=~nobody-of-that-name/x"], 2, "is not a folder on this machine"),
        (["--host", ""], 2, "it is empty, which would mean all addresses"),
        (["--host", "  "], 2, "it is empty, which would mean all addresses"),
        (["--host", "no.such.host.invalid"], 1, "; give an address of this machine"),
        (["--host", "[::1]"], 1, "; write an IPv6 address without brackets"),
        (["--host", "127.0.0.1:80"], 1, "; the port has an option of its own, --port"),
        (["--job-memory", "0"], 2, "is not above 0"),
        (["--max-jobs", "0"], 2, "is not at least 1"),
        (["--database", "nonsense"], 1, "the database cannot be opened"),
        (["--token-file", "FOLDER/none"], 1, "none' cannot be read"),
        (["--token-file", "FOLDER/file"], 1, "holds no token"),
    ],
)
def test_what_keeps_a_sandbox_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, said: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "token").write_text(TOKEN)
    always = ["--data", str(tmp_path / "data"), "--token-file", str(tmp_path / "token")]
    assert main_of(*always, *(option.replace("FOLDER", str(tmp_path)) for option in options)) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert TOKEN not in printed.err


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a/b/fs/c/year=2024={}/plain", "a/b/fs/c/year=2024"),
        ("a/b/fs/c/x={}/is=here", "a/b/fs/c/x"),
        ("a/b/fs/c/x=y={}/is=here", "a/b/fs/c/x=y"),
        ("a/b/fs/c/x=y=sample:reviews", "a/b/fs/c/x=y"),
        ('["a/b/fs/c/x=y", "{}/is=here"]', "a/b/fs/c/x=y"),
    ],
)
def test_an_equals_sign_in_a_mount(tmp_path: Path, text: str, at: str) -> None:
    for name in ("plain", "is=here"):
        (tmp_path / name).mkdir()
    assert str(Mount.parse(text.format(tmp_path), tmp_path).at) == at


def test_a_mount_that_may_be_divided_in_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "y=x").mkdir()
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"more than one of its '=' may divide it; write it as JSON, such as \["):
        Mount.parse("a/b/fs/c/d=y=x", tmp_path)


@pytest.mark.parametrize(("output", "code"), [(">&-", 0), (">/dev/full", 0), (">&- 2>&-", 0), (">&- <&-", 0)])
def test_an_announcement_that_nobody_can_read_is_no_reason_to_stop(tmp_path: Path, output: str, code: int) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--no-preload", "--port", str(port)]
    command += ["--data", str(tmp_path / "data"), "--token-file", str(tmp_path / "token")]
    shell = ["sh", "-c", f'exec "$@" {output}', "sh", *command]
    with (
        # One client for all calls: a new one reads the certificates, which takes as long as a start.
        httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}) as client,
        subprocess.Popen(shell, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process,
    ):

        def answered() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.get(f"http://127.0.0.1:{port}/openapi.json").status_code == 200
            assert process.poll() is None
            return False

        soon(answered, seconds=30)
        # No file of the sandbox stands in for a stream that is closed.
        streams = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)]
        assert not [name for name in streams if name.startswith(str(tmp_path))]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == code
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_an_announcement_that_was_asked_for_has_to_be_read(tmp_path: Path, output: str) -> None:
    (tmp_path / "token").write_text(TOKEN)
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--no-preload", "--announce"]
    command += ["--data", str(tmp_path / "data"), "--token-file", str(tmp_path / "token")]
    shell = ["sh", "-c", f'exec "$@" {output}', "sh", *command]
    result = subprocess.run(shell, stderr=subprocess.PIPE, timeout=60, check=False, text=True)
    assert result.returncode == 1
    assert "the sandbox cannot start: --announce: standard output is closed, or cannot be written to" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken(sandbox: RunningSandbox, tmp_path: Path) -> None:
    port = sandbox.announced["url"].rpartition(":")[2]
    result = serve("--data", str(tmp_path / "data"), "--port", port, folder=tmp_path)
    assert result.returncode == 1
    reason = f"cannot listen on 127.0.0.1 port {port}: Address already in use; --port 0 takes a free one"
    assert result.stderr == f"the sandbox cannot start: {reason}\n"


def test_two_sandboxes_do_not_share_a_data_folder(sandbox: RunningSandbox, tmp_path: Path) -> None:
    result = serve("--data", str(sandbox.data), folder=tmp_path)
    assert result.returncode == 1
    assert f"in use by another sandbox (process {sandbox.process.pid})" in result.stderr


def test_another_database(start: Callable[..., RunningSandbox], tmp_path: Path) -> None:
    sandbox = start("--database", f"sqlite:///{tmp_path}/elsewhere.sqlite")
    sandbox.push(f"{DRIVE}/x", {"a": ""})
    assert (tmp_path / "elsewhere.sqlite").exists()
    assert not (sandbox.data / "sandbox.sqlite").exists()


def test_the_token_is_in_no_process_that_runs_pushed_code(sandbox: RunningSandbox) -> None:
    for process in sandbox.family():
        shown = " ".join(process.cmdline())
        assert TOKEN not in shown
        if process.pid != sandbox.process.pid:
            assert ".token" not in shown
            assert "SOME_SECRET" not in Path(f"/proc/{process.pid}/environ").read_text(errors="replace")


def test_the_token_file_may_be_removed_after_the_start(start: Callable[..., RunningSandbox]) -> None:
    running = start()
    (token_file,) = running.data.parent.glob("*.token")
    token_file.unlink()
    assert running.write("acme/r/fs/D/x", "1")["status"] == "OK"
    assert TOKEN not in running.stderr.read_text()


def options_of_serve() -> dict[str, Any]:
    commands: Any = typer.main.get_command(app)
    return {option.name: option for option in commands.commands["serve"].params}


def test_every_option_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_of("--help") == 0
    assert "--token-file FILE" in capsys.readouterr().out
    known = {f"{option.opts[0]} {option.metavar or ''}".strip() for option in options_of_serve().values()}
    table = DOCS.read_text().partition("\n## Options\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(--[^`]+)` \|", table, re.MULTILINE)) == known
    assert {"--data DIR", "--mount DRIVE_FOLDER=SOURCE", "--keep-jobs DAYS", "--announce"} <= known


def test_the_documented_defaults_are_those_of_the_code(tmp_path: Path) -> None:
    table = dict(re.findall(r"^\| `(--[a-z-]+)[^|]* \| ([^|]+) \|", DOCS.read_text(), re.MULTILINE))
    settings = Settings(tmp_path)
    assert float(table["--keep-jobs"]) * DAY == settings.keep_jobs
    assert float(table["--job-memory"]) * GIB == settings.job_memory
    assert float(table["--job-time"]) == settings.job_time
    assert float(table["--max-body"]) * MIB == settings.max_body
    defaults = {name: option.default for name, option in options_of_serve().items()}
    for option in ("--keep-jobs", "--job-memory", "--job-time", "--max-body"):
        assert float(table[option]) == defaults[option[2:].replace("-", "_")]
    assert table["--host"] == f"`{defaults['host']}`"
    assert defaults["max_jobs"] == settings.max_jobs == os.cpu_count()


def test_the_server_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'faker'}"
    code = f"import sys, pytest_ibmodels.sandbox.http.app; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
