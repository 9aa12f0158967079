"""Who asks for a task is told of its end when it comes, and is not kept waiting for one that takes long."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ibmodels.sandbox.services.tasks import TaskRunner
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.stores import open_store
from tests.sandbox.running import RunningSandbox, zipped


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/sandbox.sqlite")
    yield store
    store.close()


@pytest.fixture
def tasks(store: Store) -> Iterator[TaskRunner]:
    tasks = TaskRunner(store)
    yield tasks
    tasks.close()


def test_the_end_of_a_task_is_waited_for(store: Store, tasks: TaskRunner) -> None:
    goes_on = threading.Event()
    job_id = tasks.start("refiner", lambda: {"waited": goes_on.wait(30)})

    async def ask() -> None:
        asyncio.get_running_loop().call_later(0.1, goes_on.set)
        await asyncio.gather(*(tasks.wait_for_end(job_id, 30.0) for _ in range(3)))

    asyncio.run(ask())
    job = store.job(job_id)
    assert job is not None
    assert job.results == [{"status": "OK", "waited": True}]


def test_one_that_takes_long_is_not_waited_for_and_goes_on(store: Store, tasks: TaskRunner) -> None:
    goes_on = threading.Event()
    job_id = tasks.start("refiner", lambda: {"waited": goes_on.wait(30)})
    asyncio.run(tasks.wait_for_end(job_id, 0.05))
    assert getattr(store.job(job_id), "state", "") == "PENDING"
    goes_on.set()
    asyncio.run(tasks.wait_for_end(job_id, 30.0))
    assert getattr(store.job(job_id), "state", "") == "DONE"


def test_what_is_no_task_or_has_ended_is_not_waited_for(tasks: TaskRunner) -> None:
    job_id = tasks.start("unzip", lambda: None)
    asyncio.run(tasks.wait_for_end(job_id, 30.0))
    begun = time.monotonic()
    asyncio.run(tasks.wait_for_end(job_id, 30.0))
    asyncio.run(tasks.wait_for_end("of-a-training", 30.0))
    assert time.monotonic() - begun < 10


def test_how_a_job_ended_is_answered_from_memory_for_a_moment_and_then_from_the_database(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _is_new = store.new_job("refiner")
    store.succeed(job_id, 1, store.owner, {"answer": "x" * 1000})
    store.flush()
    kept = store.kept_job(job_id)
    assert kept is not None
    monkeypatch.setattr("pytest_ibmodels.sandbox.storage.local_store._ENDED_SECONDS", 0.0)
    store.flush()
    assert store.kept_job(job_id) is None
    assert store.job(job_id) == kept


def test_the_first_status_of_a_short_job_tells_its_end(sandbox: RunningSandbox, root: str) -> None:
    sandbox.write(f"{root}/a.zip", zipped({f"{number}.txt": "x" * 1000 for number in range(100)}))
    body = {"zip_file": "a.zip", "destination": root}
    job_id = sandbox.drive("POST", f"{root}/unzip", body)["job_id"]
    assert sandbox.status(job_id)["state"] == "DONE"
