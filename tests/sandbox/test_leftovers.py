"""Nothing that a job, or a served model, has started outlives it, however it ended."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.sandbox.pushed import document, model_package
from tests.sandbox.running import RunningSandbox, all_gone

DRIVE = "a/b/fs/c"
GIB = 2**30

CODE = '''
import json, os, signal, subprocess, sys, time

STUBBORN = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
os.setsid()
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
os.closerange(1, 3)
time.sleep(600)
"""

def start_all():
    """A child; one in a session of its own; an orphan; one that ignores signals; a fork without exec."""
    child = subprocess.Popen(["sleep", "600"])
    apart = subprocess.Popen(["sleep", "600"], start_new_session=True)
    orphan = subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True)
    stubborn = subprocess.run([sys.executable, "-c", STUBBORN], capture_output=True, text=True)
    forked = os.fork()
    if not forked:
        os.setsid()
        time.sleep(600)
        os._exit(0)
    return [child.pid, apart.pid, int(orphan.stdout), int(stubborn.stdout), forked]

def go(job_metadata_client, how, **others):
    job_metadata_client.update_metadata({"pids": [os.getpid(), *start_all()]})
    if how == "raises":
        raise RuntimeError("boom")
    if how == "exits":
        os._exit(7)
    if how == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "runs":
        time.sleep(600)
    if how == "forgets":
        os.execvp("true", ["true"])
    if how == "allocates":
        held = bytearray(b"x") * (700 * 2**20)
        time.sleep(600)

def share(**others):
    """Memory that six more processes only read."""
    held = bytearray(b"x") * (400 * 2**20)
    for _ in range(6):
        if not os.fork():
            sum(held[::4096])
            time.sleep(3)
            os._exit(0)
    time.sleep(2.5)
'''

MODEL = (
    CODE
    + """
class IbModel:
    def __init__(self, model_data_path=None, ibsdk=None):
        pass

    def load(self):
        self.pids = start_all()

    def run(self, request):
        if "die" in request.input_raw_data.data.decode():
            os._exit(5)
        return {"pids": self.pids, "own": os.getpid()}
"""
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    sandbox = RunningSandbox(tmp_path_factory.mktemp("leftovers") / "data", "--job-memory", "0.6")
    sandbox.push(f"{DRIVE}/code", {"leaving/__init__.py": CODE})
    yield sandbox
    sandbox.close()


@contextlib.contextmanager
def killed_in_any_case(pids: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()


def begin(sandbox: RunningSandbox, how: str) -> tuple[str, list[int]]:
    job = sandbox.train(f"{DRIVE}/code/leaving", "leaving.go", how=how)
    return job, sandbox.wait_for_report(job, "pids")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("returns", None),
        ("raises", "RuntimeError: boom"),
        ("exits", "exit code 7"),
        ("is killed", "was killed by SIGKILL"),
        ("crashes", "was killed by SIGSEGV"),
        ("forgets", "ended by itself with exit code 0"),
        ("allocates", "more than its limit of 0.6 GiB"),
    ],
)
def test_when_a_job_has_ended_nothing_of_it_is_left(running: RunningSandbox, how: str, said: str | None) -> None:
    job, pids = begin(running, how)
    with killed_in_any_case(pids):
        status = running.wait(job)
        assert all_gone(pids, seconds=0.5)
        assert said is None or said in status["msg"]


def test_two_jobs_side_by_side_lose_their_own_alone(running: RunningSandbox) -> None:
    other, others = begin(running, "runs")
    job, pids = begin(running, "exits")
    with killed_in_any_case([*pids, *others]):
        running.wait(job)
        assert all_gone(pids, seconds=0.5)
        assert all(psutil.pid_exists(pid) for pid in others)
        assert running.api("jobs/cancel", {"job_id": other})["status"] == "OK"
        assert all_gone(others, seconds=0.5)


def _sigterm(sandbox: RunningSandbox) -> None:
    sandbox.process.terminate()


def _sigterm_to_the_group(sandbox: RunningSandbox) -> None:
    """As a shell ends a job of its own, or systemd a service."""
    for process in (psutil.Process(sandbox.process.pid), *psutil.Process(sandbox.process.pid).children()):
        process.terminate()


def _sigkill(sandbox: RunningSandbox) -> None:
    sandbox.process.kill()


def _sigkill_while_jobs_cannot_answer(sandbox: RunningSandbox) -> None:
    """What a job is to do when the server is gone is done by a thread of it, which may have to wait for others."""
    for process in psutil.Process(sandbox.process.pid).children():
        for job in process.children():
            job.send_signal(signal.SIGSTOP)
    sandbox.process.kill()


def _sigkill_with_its_jobs(sandbox: RunningSandbox) -> None:
    """As the system does when memory runs out."""
    jobs = [job for process in psutil.Process(sandbox.process.pid).children() for job in process.children()]
    assert jobs
    sandbox.process.kill()
    for job in jobs:
        job.kill()


@pytest.mark.parametrize(
    "stop",
    [_sigterm, _sigterm_to_the_group, _sigkill, _sigkill_while_jobs_cannot_answer, _sigkill_with_its_jobs],
)
def test_when_the_sandbox_has_ended_nothing_of_its_jobs_and_models_is_left(
    start: Callable[..., RunningSandbox], stop: Callable[[RunningSandbox], None]
) -> None:
    sandbox = start()
    sandbox.push(f"{DRIVE}/code", {"leaving/__init__.py": CODE})
    pids = [*begin(sandbox, "runs")[1], *served(sandbox)]
    server = [process.pid for process in sandbox.family() if process.pid not in pids]
    with killed_in_any_case(pids):
        stop(sandbox)
        sandbox.process.wait(5)
        assert all_gone([*pids, *server], seconds=5)


def served(sandbox: RunningSandbox) -> list[int]:
    """The processes of a served model, which is loaded: its own, and all that it has started."""
    sandbox.push(f"{DRIVE}/save/saved_model", model_package("Total") | {"src/py/mymodel/model.py": MODEL})
    for name in ("live", "die"):
        sandbox.write(f"{DRIVE}/docs/{name}.ibocr", document(name))
    body = {"model_path": f"{DRIVE}/save/saved_model", "dev_input_folder": f"{DRIVE}/docs", "model_name": "M"}
    body |= {"refiner_path": "x.ibrefiner", "annotator_dir": f"{DRIVE}/save"}
    assert sandbox.api("annotator/export_model", {**body, "extracted_fields": ["Total"]})["status"] == "OK"
    answer = ask(sandbox, "live")
    return [answer["own"], *answer["pids"]]


def ask(sandbox: RunningSandbox, name: str) -> dict[str, Any]:
    return sandbox.api("model-service/run", {"model_name": "M", "input_path": f"{DRIVE}/docs/{name}.ibocr"})


def _unload(sandbox: RunningSandbox, own: int) -> None:
    sandbox.api("model-service/unload_model", {"model_name": "M"})


def _let_it_die(sandbox: RunningSandbox, own: int) -> None:
    assert "ended by itself with exit code 5" in ask(sandbox, "die")["msg"]


def _kill_it_while_nobody_asks(sandbox: RunningSandbox, own: int) -> None:
    psutil.Process(own).kill()


@pytest.mark.parametrize("end", [_unload, _let_it_die, _kill_it_while_nobody_asks])
def test_when_a_model_has_ended_nothing_of_it_is_left(
    running: RunningSandbox, end: Callable[[RunningSandbox, int], None]
) -> None:
    pids = served(running)
    with killed_in_any_case(pids):
        end(running, pids[0])
        assert all_gone(pids, seconds=4)


def test_memory_that_processes_share_counts_once(running: RunningSandbox) -> None:
    job = running.train(f"{DRIVE}/code/leaving", "leaving.share")
    status = running.wait(job)
    assert (status["status"], status["msg"]) == ("OK", status["msg"])
    assert 0.4 * GIB < status["peak_memory"] < 0.6 * GIB
