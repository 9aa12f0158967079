"""Faults are told and logged, and the server lives. (That the server itself is killed is in test_server.)"""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import event, text

from pytest_ibmodels.sandbox.errors import StoreError
from pytest_ibmodels.sandbox.execution.local_executor import LocalExecutor
from pytest_ibmodels.sandbox.services.dispatcher import Dispatcher
from pytest_ibmodels.sandbox.services.tenant import Tenant
from pytest_ibmodels.sandbox.settings import DAY, Settings
from pytest_ibmodels.sandbox.storage.data_folder import DataFolder
from pytest_ibmodels.sandbox.storage.local_store import LocalStore
from pytest_ibmodels.sandbox.storage.stores import open_store
from pytest_ibmodels.sandbox.storage.transactions import Database
from tests.sandbox.pushed import PACKAGE, training_package
from tests.sandbox.running import HalfUpload, RunningSandbox, soon, zipped
from tests.sandbox.test_server import main_of

DRIVE = "a/b/fs/c"
MIB = 2**20
OWN_NAMESPACE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]


# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """A command that runs its arguments where ``tmp_path / "data"`` is a disk of 16 MiB, seen by them alone."""
    (tmp_path / "data").mkdir()
    mount = ["sh", "-c", 'mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@"', str(tmp_path / "data")]
    before = [*OWN_NAMESPACE, *mount]
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    return before


def fill(sandbox: RunningSandbox) -> str:
    """Write files until not even a small one fits; the last refusal."""
    refused = ""
    for size in (MIB, MIB // 16, 4096):
        for number in range(1000):
            answer = sandbox.write(f"{DRIVE}/fill/{size}-{number}", b"x" * size)
            if answer["status"] == "ERROR":
                refused = answer["msg"]
                break
    return refused


def test_a_full_disk(start: Callable[..., RunningSandbox], small_disk: list[str]) -> None:
    sandbox = start(before=small_disk)
    sandbox.push(f"{DRIVE}/code", training_package())
    sandbox.write(f"{DRIVE}/z.zip", zipped({"a": "x" * 3 * MIB}))
    job = sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.sleep")
    sandbox.wait_for_report(job, "pids")
    refused = fill(sandbox)
    assert "No space left on device" in refused
    assert f"POST /api/v1/drives/{DRIVE}/fill" in sandbox.stderr.read_text()
    assert sandbox.read(f"{DRIVE}/fill/{MIB}-0") == b"x" * MIB

    # The database takes no new job ...
    def refused_job() -> dict[str, Any] | None:
        answer = sandbox.drive("PATCH", f"{DRIVE}/z.zip", {"new_name": "z.zip"})
        return answer if answer["status"] == "ERROR" else None

    assert "free some space below its --data" in soon(refused_job)["msg"]
    # ... yet what becomes of one that runs is told, although it cannot be written.
    assert sandbox.api("jobs/cancel", {"job_id": job})["status"] == "OK"
    assert (sandbox.status(job)["state"], sandbox.status(job)["msg"]) == ("DONE", "cancelled")
    assert "is kept in memory until it can be written" in sandbox.stderr.read_text()
    # What was refused has left nothing: the space of one file is enough for one file.
    assert sandbox.drive("DELETE", f"{DRIVE}/fill/{MIB}-0", {"force": True})["status"] == "OK"
    assert sandbox.write(f"{DRIVE}/again", b"x" * (MIB - 64 * 1024))["status"] == "OK"
    assert sandbox.drive("DELETE", f"{DRIVE}/fill", {"force": True})["status"] == "OK"
    sandbox.push(f"{DRIVE}/afterwards", {"a": "b"})
    assert sandbox.wait(sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.quick"))["status"] == "OK"
    assert "Traceback" not in sandbox.stderr.read_text()


class FullStore(LocalStore):
    """A store whose database file cannot grow while ``full`` is set."""

    def __init__(self, file: Path) -> None:
        self.full = False
        super().__init__(Database(f"sqlite:///{file}"), "me")
        event.listen(self.database.engine, "begin", self._limit)

    def _limit(self, connection: Any) -> None:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages if self.full else 1_000_000}")


def test_what_cannot_be_written_is_kept_until_it_can(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "sandbox.sqlite")
    (job, _is_new), large = store.new_job("train"), "x" * 100_000
    store.full = True
    store.report(job, 1, None, task_data={"f1": 0.5}, message=large)
    store.succeed(job, 1, None, {"result": large})
    # A job ends once, also one whose end is not written yet.
    store.fail(job, 1, None, "too late")
    told = store.job(job)
    assert told is not None
    assert (told.state, told.message, told.task_data) == ("DONE", large, {"f1": 0.5})
    assert told.results == [{"status": "OK", "result": large}]
    with pytest.raises(StoreError, match=r"cannot be written \(database or disk is full\): free some space"):
        store.new_job("x" * 16 * 100_000)
    store.full = False
    store.flush()
    store.close()
    with contextlib.closing(open_store(f"sqlite:///{tmp_path}/sandbox.sqlite")) as reopened:
        again = reopened.job(job)
    assert again is not None
    assert (again.state, again.message, again.results) == (told.state, told.message, told.results)


# --- a damaged database ---


def damage(file: Path) -> None:
    """Overwrite every page of a database but the first, which says what tables there are."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as pages:
        pages.seek(size)
        pages.write(b"\xa5" * (file.stat().st_size - size))


def test_a_damaged_database(start: Callable[..., RunningSandbox], capsys: pytest.CaptureFixture[str]) -> None:
    sandbox = start()
    sandbox.push(f"{DRIVE}/code", {"a": "1"})
    damage(sandbox.data / "sandbox.sqlite")
    status = sandbox.http.get("/api/v1/jobs/status", params={"job_id": "x"})
    assert (status.status_code, status.json()["status"]) == (200, "ERROR")
    assert "database is damaged (database disk image is malformed): stop the sandbox" in status.json()["msg"]
    assert (
        "ERROR pytest_ibmodels.sandbox.http.app: GET /api/v1/jobs/status: the sandbox's database is damaged"
        in (sandbox.data / "server.log").read_text()
    )
    body = {"zip_file": "code.zip", "destination": f"{DRIVE}/out"}
    assert "is damaged" in sandbox.drive("POST", f"{DRIVE}/unzip", body)["msg"]
    assert sandbox.read(f"{DRIVE}/code/a") == b"1"
    assert sandbox.write(f"{DRIVE}/new", b"2")["status"] == "OK"
    sandbox.close()
    token_file = sandbox.data.parent / "data.token"
    assert main_of("--data", str(sandbox.data), "--token-file", str(token_file)) == 1
    said = capsys.readouterr().err
    assert said.startswith("the sandbox cannot start: the sandbox's database is damaged")
    assert "Traceback" not in said


# --- broken connections, killed processes, bad zips ---


def test_a_connection_that_breaks_in_an_upload(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/file", b"as before")
    before = set((sandbox.data / "tmp").iterdir())
    upload = HalfUpload(sandbox, f"{root}/file".replace(" ", "%20"), b"x" * 2 * MIB)
    upload.connection.close()
    soon(lambda: set((sandbox.data / "tmp").iterdir()) <= before)
    assert sandbox.read(f"{root}/file") == b"as before"
    soon(lambda: "the client went away" in (sandbox.data / "server.log").read_text())


def test_the_process_that_jobs_are_forked_from_is_killed(sandbox: RunningSandbox) -> None:
    sandbox.push(f"{DRIVE}/code", training_package())
    sandbox.wait(sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.quick"))
    server = psutil.Process(sandbox.process.pid)
    (forking,) = [child for child in server.children() if "forkserver" in " ".join(child.cmdline())]
    forking.send_signal(signal.SIGKILL)
    statuses = [
        sandbox.wait(sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.quick")) for _attempt in range(2)
    ]
    assert [status["status"] for status in statuses] == ["OK", "OK"], statuses


def test_a_long_folder_for_temporary_files(start: Callable[..., RunningSandbox], tmp_path: Path) -> None:
    folder = tmp_path / ("t" * 200)
    folder.mkdir()
    sandbox = start(environ={"TMPDIR": str(folder)})
    sandbox.push(f"{DRIVE}/code", training_package())
    status = sandbox.wait(sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.use_processes"))
    assert (status["status"], status["results"][0].get("result")) == ("OK", [[1, 4, 9], str(folder)]), status


def test_a_job_that_cannot_be_begun_is_the_sandboxs_fault_and_not_the_codes(
    start: Callable[..., RunningSandbox],
) -> None:
    sandbox = start("--max-jobs", "1")
    sandbox.push(f"{DRIVE}/code", training_package())
    first = sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.sleep")
    sandbox.wait_for_report(first, "pids")
    waiting = sandbox.train(f"{DRIVE}/code/{PACKAGE}", "trainable.training.quick")
    (sandbox.data / "jobs" / waiting / "log.txt").mkdir()
    sandbox.api("jobs/cancel", {"job_id": first})
    status = sandbox.wait(waiting)
    assert status["msg"].startswith("the sandbox could not run this job: [Errno 21] Is a directory: ")
    assert status["results"][0]["fault"] == "environment"
    assert "fault" not in sandbox.status(first)["results"][0]


def test_a_bad_zip_is_logged(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/bad.zip", b"no zip at all")
    job = sandbox.drive("POST", f"{root}/unzip", {"zip_file": "bad.zip", "destination": f"{root}/out"})["job_id"]
    said = sandbox.wait(job)["results"][0]["msg"]
    assert "could not be unpacked, nothing was written" in said
    assert f"job {job}: {said}" in (sandbox.data / "server.log").read_text()


# --- what a long life leaves ---


def test_ended_jobs_are_forgotten_with_their_logs(tmp_path: Path) -> None:
    settings = Settings(tmp_path, keep_jobs=2 * DAY)
    executor = LocalExecutor(settings)
    data = DataFolder(tmp_path, is_shared=False)
    sandbox = Tenant(settings, executor, Dispatcher(executor, "me"), data)
    jobs = {name: sandbox.store.new_job("train")[0] for name in ("old", "young", "running")}
    for job in jobs.values():
        (tmp_path / "jobs" / job).mkdir()
        (tmp_path / "jobs" / job / "log.txt").write_text("a line")
    for name, days in (("old", 3), ("young", 1)):
        sandbox.store.report(jobs[name], 1, None, state="DONE", finished=time.time() - days * DAY)
    sandbox.store.report(jobs["running"], 1, None, started=time.time() - 9 * DAY)
    (tmp_path / "jobs" / "of a lost database").mkdir()
    for folder in (tmp_path / "jobs").iterdir():
        os.utime(folder, (time.time() - 9 * DAY,) * 2)
    sandbox.tidy_up()
    kept = {name for name, job in jobs.items() if sandbox.store.job(job) is not None}
    assert kept == {"young", "running"}
    assert {folder.name for folder in (tmp_path / "jobs").iterdir()} == {jobs[name] for name in kept}
    sandbox.close()
    data.close()
