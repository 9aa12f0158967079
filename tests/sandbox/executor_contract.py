"""Promises of every executor. A module imports these tests, and has the fixtures ``executor`` and ``place``."""

import contextlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.code_cache import pack_code
from pytest_ibmodels.sandbox.execution.executor import Executor, JobStatus
from pytest_ibmodels.sandbox.execution.job_spec import DriveSpec, JobRef, JobSpec, Limits, Resources
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_secrets import write_secrets

CODE = """
import os, signal, subprocess, sys, time

def add(first, second, job_metadata_client, **others):
    print("adding", flush=True)
    job_metadata_client.update_message("almost")
    job_metadata_client.update_metadata({"progress": 1})
    return first + second

def fail(**others):
    raise ValueError("boom")

def fail_with(database, **others):
    raise ValueError("cannot reach " + database)

def sleep(job_metadata_client, seconds=600, **others):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    apart = subprocess.Popen([sys.executable, "-c", DEAF], start_new_session=True)
    job_metadata_client.update_metadata({"pids": [os.getpid(), apart.pid]})
    time.sleep(seconds)

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

def kill_itself(**others):
    os.kill(os.getpid(), signal.SIGKILL)

def allocate(**others):
    held = bytearray(b"x") * (600 * 2**20)
    time.sleep(600)

def write(file_client, path, text, **others):
    file_client.write_file(path, text)

def write_on(file_client, job_metadata_client, path, **others):
    job_metadata_client.update_metadata({"pids": [os.getpid()]})
    while True:
        try:
            file_client.write_file(path, str(time.time()))
        except PermissionError:
            pass
        time.sleep(0.05)

def show(variable, **others):
    time.sleep(0.5)
    return os.environ.get(variable)

def count_slowly(lines, **others):
    for number in range(lines):
        print("line", number, flush=True)
        time.sleep(0.05)

def count(lines, **others):
    for number in range(lines):
        print("line", number, flush=True)
"""

MIB = 2**20


@dataclass
class Place:
    """A data folder with code in it."""

    data: Path

    def spec(self, function: str, *, resources: Resources | None = None, **arguments: Any) -> JobSpec:
        """A job that calls a function of ``CODE``."""
        job_id = uuid.uuid4().hex
        folder = self.data / "jobs" / job_id
        folder.mkdir(parents=True)
        (self.data / "tmp").mkdir(exist_ok=True)
        package = self.data / "drive" / "pushed"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(CODE)
        secrets = {"database": json.dumps(arguments.pop("database"))} if "database" in arguments else {}
        if secrets:
            write_secrets(folder, secrets)
        return JobSpec(
            job_id=job_id,
            function=f"pushed.{function}",
            code=pack_code([package], self.data / "code"),
            arguments=arguments,
            secrets=tuple(secrets),
            drive=DriveSpec.of(Drive(self.data / "drive", self.data / "tmp")),
            folder=folder,
            models=self.data / "models",
            environments=self.data / "environments",
            limits=Limits(memory=256 * MIB, seconds=100, unzipped=MIB),
            resources=resources or Resources(),
        )


def follow(executor: Executor, ref: JobRef, until: Callable[[JobStatus], bool], seconds: float = 60) -> JobStatus:
    """Begin a job as soon as it is placed, and wait for a status."""
    deadline = time.monotonic() + seconds
    while True:
        status = executor.poll(ref)
        if until(status):
            return status
        if status.state == "placed":
            executor.begin(ref)
        assert time.monotonic() < deadline, status
        executor.wait(0.1)


def run(executor: Executor, spec: JobSpec, seconds: float = 60) -> JobStatus:
    """Run a job to its end."""
    executor.start(spec)
    status = follow(executor, spec.ref, lambda status: status.state in {"ended", "lost"}, seconds)
    executor.forget(spec.ref)
    return status


def is_running(pid: int) -> bool:
    """Whether a process runs, zombies apart."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_job_runs_with_its_arguments_and_reports(executor: Executor, place: Place) -> None:
    spec = place.spec("add", first=1, second=2)
    executor.start(spec)
    executor.start(spec)  # does nothing
    status = follow(executor, spec.ref, lambda status: status.state == "ended")
    assert status.outcome is not None
    assert (status.outcome.msg, status.outcome.result) == (None, 3)
    assert status.reports["message"] == "almost"
    assert status.reports["task_data"] == {"progress": 1}
    assert status.reports["peak_memory"] > MIB
    assert spec.log.read_text() == "adding\n"
    executor.forget(spec.ref)
    assert executor.poll(spec.ref).state == "lost"


def test_a_job_that_was_not_begun_does_not_run(executor: Executor, place: Place) -> None:
    spec = place.spec("write", path="a/b/fs/c/file", text="x")
    executor.start(spec)
    follow(executor, spec.ref, lambda status: status.state == "placed")
    executor.cancel(spec.ref, "cancelled")
    executor.begin(spec.ref)
    assert executor.poll(spec.ref).state in {"ended", "lost"}
    executor.forget(spec.ref)
    assert not (place.data / "drive" / "a").exists()


def test_code_that_fails(executor: Executor, place: Place) -> None:
    outcome = run(executor, place.spec("fail")).outcome
    assert outcome is not None
    assert (outcome.msg, outcome.error, outcome.fault) == (
        "the pushed code failed: ValueError: boom",
        "ValueError: boom",
        False,
    )
    assert "raise ValueError" in outcome.strace


def test_a_process_that_is_killed(executor: Executor, place: Place) -> None:
    outcome = run(executor, place.spec("kill_itself")).outcome
    assert outcome is not None
    assert outcome.msg is not None
    assert "was killed by SIGKILL" in outcome.msg


def test_a_job_over_its_memory(executor: Executor, place: Place) -> None:
    outcome = run(executor, place.spec("allocate")).outcome
    assert outcome is not None
    assert "more than its limit of 0.25 GiB" in str(outcome.msg)


def test_a_secret_is_in_a_file_and_nowhere_else(executor: Executor, place: Place) -> None:
    spec = place.spec("fail_with", database="postgresql://me:hunter2-secret@db/x")
    assert "hunter2-secret" not in spec.model_dump_json()
    outcome = run(executor, spec).outcome
    assert outcome is not None
    assert "postgresql://me:***@db/x" in str(outcome.msg)
    assert "hunter2-secret" not in spec.log.read_text()


def test_cancelling_ends_everything_of_a_job(executor: Executor, place: Place) -> None:
    spec = place.spec("sleep")
    executor.start(spec)
    pids = follow(executor, spec.ref, lambda status: "task_data" in status.reports).reports["task_data"]["pids"]
    executor.cancel(spec.ref, "cancelled")
    assert not [pid for pid in pids if is_running(pid)]
    status = follow(executor, spec.ref, lambda status: status.state == "ended", 5)
    assert status.outcome is not None
    assert status.outcome.msg == "cancelled"
    executor.cancel(spec.ref, "again")  # does nothing
    executor.forget(spec.ref)


def test_a_log_is_complete_and_in_order(executor: Executor, place: Place) -> None:
    spec = place.spec("count", lines=2_000)
    run(executor, spec)
    assert spec.log.read_text() == "".join(f"line {number}\n" for number in range(2_000))


def test_a_second_attempt_has_a_log_of_its_own(executor: Executor, place: Place) -> None:
    spec = place.spec("count", lines=1)
    run(executor, spec)
    again = spec.next_attempt(2)
    run(executor, again)
    assert (spec.log.name, again.log.name) == ("log.txt", "log-2.txt")
    assert again.log.read_text() == "line 0\n"


def test_room_is_taken_and_freed(executor: Executor, place: Place) -> None:
    specs = []
    while executor.has_room(Resources()):
        specs.append(place.spec("sleep"))
        executor.start(specs[-1])
        follow(executor, specs[-1].ref, lambda status: status.state == "placed")
        if len(specs) == executor_slots(executor):
            break
    assert len(specs) == executor_slots(executor)
    for spec in specs:
        executor.cancel(spec.ref, "cancelled")
        executor.forget(spec.ref)
    assert executor.has_room(Resources())


def executor_slots(executor: Executor) -> int:
    """How many jobs of the default size run at once."""
    return int(sum(node.slots for node in executor.nodes()))


def test_more_than_there_is(executor: Executor, place: Place) -> None:
    del place
    with pytest.raises(SandboxError, match=r"1000 cpus, 0 gpus.*has"):
        executor.check(Resources(cpus=1000))
    with pytest.raises(SandboxError, match="99 gpus"):
        executor.check(Resources(gpus=99))
    executor.check(Resources())


def test_a_job_that_nobody_knows_is_lost(executor: Executor, place: Place) -> None:
    spec = place.spec("add")
    executor.find(spec, "a machine that is gone")
    follow(executor, spec.ref, lambda status: status.state == "lost", 60)
    executor.forget(spec.ref)
