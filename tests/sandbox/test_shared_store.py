"""Several servers on one PostgreSQL: no job runs twice, none is lost, and nobody writes late."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from pytest_ibmodels.sandbox.storage.job_store import CANCELLED, RESTARTED, Store
from pytest_ibmodels.sandbox.storage.stores import open_store
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# Claims, starts and ends jobs in the order of the queue until none waits, and prints them.
WORKER = """
import sys, time
from pytest_ibmodels.sandbox.storage.stores import open_store

url, name, pause = sys.argv[1:]
store = open_store(url, name)
while (job := store.oldest_waiting()) is not None:
    claimed = store.claim(job.id, name)
    if claimed is not None:
        print(job.id, flush=True)
        time.sleep(float(pause))
        assert store.confirm(job.id, claimed.attempt, name, "node")
        assert store.succeed(job.id, claimed.attempt, name, {})
"""


@pytest.fixture
def url(postgresql: str) -> str:
    """The URL of an empty database."""
    name = f"sandbox_{uuid.uuid4().hex}"
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgresql.rpartition("/")[0] + f"/{name}"


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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        process.kill()


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


def test_jobs_of_a_dead_server_are_adopted_once(url: str, a: Store) -> None:
    jobs = [started(a, "dead") for _ in range(20)]
    mine = started(a, "a")
    with contextlib.closing(open_store(url, "dead")) as dead:
        task, _is_new = dead.new_job("unzip")
        assert a.adopt("a") == [], "it is seen"
    # Closing says that it is gone.
    assert a.adopt("a") == [], "a itself is not seen for long"
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(contextlib.closing(open_store(url, name))) for name in ("b", "c", "d")]
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda store: store.adopt(store.owner, older_than=0.0), stores))
        # With 0 s every other server looks dead, so that what one has adopted may go on to another.
        owners = {job.owner for job_id in (*jobs, mine) if (job := a.job(job_id)) is not None}
    assert len(owners) == 1
    assert found
    ended = a.job(task)
    assert ended is not None
    assert (ended.message, ended.results[0]["fault"]) == (RESTARTED, "environment")
    assert not a.succeed(mine, 1, "a", {}), "the old owner writes late"
