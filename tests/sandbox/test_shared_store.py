"""Several servers on one PostgreSQL: no job runs twice, none is lost, and nobody writes late."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from pytest_ibmodels.sandbox.errors import BusyError
from pytest_ibmodels.sandbox.services.tasks import TaskRunner
from pytest_ibmodels.sandbox.storage import databases
from pytest_ibmodels.sandbox.storage.job_store import RESTARTED, Store
from pytest_ibmodels.sandbox.storage.stores import open_store
from pytest_ibmodels.sandbox.storage.tables import CANCELLED, Job, PackageRow
from pytest_ibmodels.sandbox.storage.transactions import lock_servers
from tests.conftest import ROOT
from tests.databases import empty_database
from tests.sandbox.running import soon
from tests.sandbox.test_databases import OLD_TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Claims and starts jobs in the order of the queue until none waits, and prints them.
WORKER = """
import sys, time
from pytest_ibmodels.sandbox.storage.stores import open_store

url, name, pause = sys.argv[1:]
store = open_store(url, name)
print("ready", flush=True)
sys.stdin.readline()
while (job := store.oldest_waiting()) is not None:
    claimed = store.claim(job.id, name)
    if claimed is None:
        time.sleep(0.01)
        continue
    print(job.id, flush=True)
    time.sleep(float(pause))
    assert store.confirm(job.id, claimed.attempt, name, "node")
"""


@pytest.fixture
def url(postgresql: str) -> str:
    """The URL of an empty database."""
    return empty_database(postgresql)


@pytest.fixture
def a(url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(url, "a")) as store:
        yield store


@pytest.fixture
def b(url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(url, "b")) as store:
        yield store


@contextlib.contextmanager
def worker(url: str, name: str, pause: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WORKER, url, name, str(pause)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        process.kill()


def go(*workers: subprocess.Popen[str]) -> None:
    """Let workers begin, once all are ready."""
    for process in workers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in workers:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def lines(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.read().split()


def position(store: Store, job_id: str) -> int | None:
    job = store.job(job_id)
    return store.count_waiting(before=job) + 1 if job is not None and job.is_waiting else None


def started(store: Store, owner: str) -> str:
    """A job that runs, of this owner."""
    job_id, _is_new = store.new_job("train")
    assert store.claim(job_id, owner) is not None
    assert store.confirm(job_id, 1, owner, "node-1")
    return job_id


def test_two_servers_start_each_job_once_and_in_order(url: str, a: Store) -> None:
    queued = [a.new_job("train")[0] for _ in range(200)]
    with worker(url, "x") as one, worker(url, "y") as other:
        go(one, other)
        found = [lines(one), lines(other)]
        assert (one.wait(30), other.wait(30)) == (0, 0)
    assert sorted(found[0] + found[1]) == sorted(queued)
    assert all(found), "one server did all the work"
    jobs = [a.job(job_id) for job_id in queued]
    begun = [job.started for job in jobs if job is not None and job.started is not None]
    assert len(begun) == 200
    assert begun == sorted(begun)


def test_a_claimed_job_blocks_the_next_claim_until_it_has_started(a: Store, b: Store) -> None:
    first, second = (a.new_job("train")[0] for _ in range(2))
    assert [position(a, job) for job in (first, second)] == [1, 2]
    assert a.claim(first, "a") is not None
    assert b.claim(first, "b") is None
    assert b.claim(second, "b") is None
    assert [position(b, job) for job in (first, second)] == [1, 2]
    assert a.confirm(first, 1, "a", "node-1")
    assert a.confirm(first, 1, "a", "node-1"), "a repeated call is answered like the first"
    assert [position(b, job) for job in (first, second)] == [None, 1]
    assert b.claim(second, "b") is not None
    assert [job.id for job in a.running("a")] == [first]


@pytest.mark.parametrize("kind", ["local", "shared"])
def test_places_of_many_jobs_are_those_of_each(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    with contextlib.closing(open_store(f"sqlite:///{tmp_path / 'other.sqlite'}")) as other:
        store: Store = other if kind == "local" else request.getfixturevalue("a")
        # Jobs of another store are asked about, too, and one that has ended.
        stores = [store, other, store, store, other, store]
        ids = [(each, each.new_job("train")[0]) for each in stores]
        assert store.request_cancel(ids[2][1]) == "cancelled"
        jobs = [job for each, job_id in reversed(ids) if (job := each.job(job_id)) is not None]
        assert len(jobs) == 6
        assert store.count_waiting_before(jobs) == [store.count_waiting(before=job) for job in jobs]
        assert store.count_waiting_before([]) == []


def test_late_reports_have_no_effect(a: Store, b: Store) -> None:
    job_id = started(a, "a")
    assert a.report(job_id, 1, "a", message="epoch 1", task_data={"f1": 0.5})
    assert a.try_again(job_id, 1, "a", "node-1 is gone") == 2
    assert a.try_again(job_id, 1, "a", "node-1 is gone") is None
    for store, owner in ((a, "a"), (b, "b")):
        assert not store.report(job_id, 1, owner, message="late")
        assert not store.succeed(job_id, 1, owner, {"late": True})
        assert not store.fail(job_id, 1, owner, "late")
    job = b.job(job_id)
    assert job is not None
    assert (job.state, job.task_state, job.attempt, job.node, job.lost) == (
        "PENDING", "PENDING", 2, None, ["node-1 is gone"]
    )  # fmt: skip
    assert a.confirm(job_id, 2, "a", "node-2")
    assert a.try_again(job_id, 2, "a", "node-2 is gone") is None, "one retry is allowed"
    assert a.succeed(job_id, 2, "a", {})
    assert not a.fail(job_id, 2, "a", "it ended already")


def test_a_key_makes_one_job(a: Store, b: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda store: store.new_job("train", key="key"), [a, b] * 4))
    assert len({job_id for job_id, _is_new in found}) == 1
    assert sum(is_new for _job_id, is_new in found) == 1
    assert a.new_job("train", key="other")[1]


def test_cancelling(a: Store, b: Store) -> None:
    waiting, running = a.new_job("train")[0], started(a, "a")
    assert b.request_cancel(waiting) == "cancelled"
    assert b.request_cancel(waiting) == "ended"
    assert getattr(a.job(waiting), "message", "") == CANCELLED
    assert a.claim(waiting, "a") is None
    assert b.request_cancel(running) == "requested"
    assert (a.cancels_requested("a"), b.cancels_requested("b")) == ([running], [])
    assert a.fail(running, 1, "a", CANCELLED)
    assert a.cancels_requested("a") == []
    assert b.request_cancel("no job") == "unknown"
    # A job is cancelled between its claim and its start.
    job_id, _is_new = a.new_job("train")
    a.claim(job_id, "a")
    assert b.request_cancel(job_id) == "requested"
    assert not a.confirm(job_id, 1, "a", "node-1")


def test_jobs_of_a_dead_server_are_adopted_once(url: str, a: Store, b: Store) -> None:
    with contextlib.closing(open_store(url, "c")) as living:
        theirs, mine = started(a, "c"), started(a, "a")
        jobs = [started(a, "dead") for _ in range(20)]
        with contextlib.closing(open_store(url, "dead")) as dead:
            task, _is_new = dead.new_job("unzip")
        # Closing has said that it is gone.
        assert a.adopt("a") == [], "a itself is not seen for long"
        time.sleep(0.3)
        for store in (a, b, living):
            store.beat(store.owner)
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda store: store.adopt(store.owner, older_than=0.3), (a, b)))
    assert sorted(job.id for job in (*found[0], *found[1])) == sorted(jobs)
    assert [job.id for jobs in found for job in jobs] == [job.id for jobs in found for job in sorted(jobs, key=_age)]
    assert {job.owner for job in found[0]} <= {"a"}
    assert {job.owner for job in found[1]} <= {"b"}
    assert [getattr(a.job(job), "owner", None) for job in (theirs, mine)] == ["c", "a"]
    assert not a.succeed(jobs[0], 1, "dead", {}), "the old owner writes late"
    ended = a.job(task)
    assert ended is not None
    assert (ended.message, ended.results[0]["fault"]) == (RESTARTED, "environment")


def _age(job: Job) -> tuple[float, str]:
    return job.created, job.id


def test_a_server_is_killed_between_a_claim_and_the_start(url: str, a: Store) -> None:
    first, second = (a.new_job("train")[0] for _ in range(2))
    with worker(url, "killed", pause=600) as process:
        go(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == first
        process.kill()
    assert a.claim(second, "a") is None, "the first job may be starting"
    assert a.adopt("a", older_than=60) == []
    time.sleep(0.5)
    a.beat("a")
    adopted = a.adopt("a", older_than=0.5)
    assert [job.id for job in adopted] == [first]
    assert a.confirm(first, 1, "a", "node-1")
    assert a.claim(second, "a") is not None


def test_the_database_crashes_and_comes_back(url: str, a: Store) -> None:
    job_id = started(a, "a")
    goes_on = threading.Event()
    tasks = TaskRunner(a)
    task = tasks.start("refiner", lambda: {"waited": goes_on.wait(30)})
    soon(lambda: getattr(a.job(task), "task_state", "") == "STARTED")
    crash(url)
    # It may be back already, but nothing else is raised.
    with contextlib.suppress(BusyError):
        a.job(job_id)
    goes_on.set()
    assert soon(lambda: answered(lambda: a.job(job_id))), "the next calls work again"
    assert a.report(job_id, 1, "a", message="later")
    assert soon(lambda: getattr(a.job(task), "results", None)) == [{"status": "OK", "waited": True}]
    tasks.close()


def answered(call: Callable[[], object]) -> object:
    with contextlib.suppress(BusyError):
        return call()
    return None


def crash(url: str) -> None:
    """Kill a process of the database, which ends all others and recovers."""
    engine = create_engine(url)
    with contextlib.suppress(OperationalError), engine.connect() as connection:
        os.kill(connection.scalar(text("SELECT pg_backend_pid()")), signal.SIGKILL)
    engine.dispose()


def test_a_server_that_is_frozen_in_a_transaction_blocks_the_others_for_a_moment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "idle_in_transaction_session_timeout = '3s'" in databases._FROZEN_SERVER
    monkeypatch.setattr(databases, "_FROZEN_SERVER", databases._FROZEN_SERVER.replace("'3s'", "'200ms'"))
    with contextlib.closing(open_store(url, "a")) as awake, contextlib.closing(open_store(url, "b")) as frozen:
        job_id, _is_new = awake.new_job("train")

        def freeze() -> None:
            with frozen.database.writing() as connection:
                lock_servers(connection)
                assert awake.claim(job_id, "a") is not None
                connection.execute(text("SELECT 1"))

        with pytest.raises(BusyError, match="idle-in-transaction timeout"):
            freeze()
        assert getattr(frozen.job(job_id), "owner", None) == "a"


def test_nothing_is_answered_from_memory(a: Store, b: Store) -> None:
    a.models.register("m", model_path="x/m", program_folder="x")
    b.models.register("m", model_path="y/m", program_folder="x")
    b.models.register("n", model_path="x/n", program_folder="x")
    assert [getattr(store.models.get("m"), "model_path", "") for store in (a, b)] == ["y/m"] * 2
    assert getattr(a.models.of_folder("x"), "name", "") == "n"
    assert b.models.forget_below("x") == ["n"]
    assert a.models.get("n") is None
    job_id, _is_new = a.new_job("train", model_name="m", spec={"function": "f"}, resources={"cpus": 2}, retries=3)
    assert a.kept_job(job_id) is None
    assert b.jobs_of_model("m") == [job_id]
    found = b.job(job_id)
    assert found is not None
    assert (found.spec, found.resources, found.retries) == ({"function": "f"}, {"cpus": 2}, 3)
    package = PackageRow("p", "1.0.0", modules=["p"], published=1.0)
    assert [store.packages.add(package) for store in (a, b)] == [True, False]


def test_two_servers_complete_an_older_database_at_once(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(OLD_TABLES))
    engine.dispose()
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda owner: open_store(url, owner), ("a", "b")))
    for store in stores:
        old = store.job("old")
        assert old is not None
        assert (old.attempt, old.lost, old.cancel_requested) == (1, [], False)
        assert store.new_job("train")[1]
        store.close()
