"""Two servers on one PostgreSQL database and one data folder: either serves any request, and no job is lost with one.

Jobs run in the servers' own processes here, so they end with a server, and are started again by the other one.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_ibmodels.sandbox.storage.stores import open_store
from tests.databases import empty_database
from tests.sandbox.running import RunningSandbox, soon

FOLDER = "acme/repo/fs/Instabase Drive/pushed for two"
CODE = """
import time

def note(file_client, job_metadata_client, path, seconds=0, **others):
    starts = len(file_client.list_dir(path)) if file_client.exists(path) else 0
    file_client.write_file(f"{path}/{starts + 1}", "")
    job_metadata_client.update_metadata({"start": starts + 1})
    print("start", starts + 1, flush=True)
    # The first start is the one that is lost.
    time.sleep(seconds if starts == 0 else 0)
    return starts + 1
"""


@pytest.fixture(scope="module")
def url(postgresql: str) -> str:
    """The URL of an empty database."""
    return empty_database(postgresql)


class Pair:
    """Two servers, either of which may be killed and started anew."""

    def __init__(self, data: Path, url: str) -> None:
        self.options = (data, "--database", url, "--max-jobs", "1")
        self.url = url
        self.a = self.start("a")
        self.b = self.start("b")

    def start(self, name: str) -> RunningSandbox:
        data, *options = self.options
        return RunningSandbox(data, *options, token_file=data.parent / f"{name}.token")

    def close(self) -> None:
        for server in (self.a, self.b):
            server.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, url: str) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("two") / "data", url)
    pair.a.push(FOLDER, {"noted/__init__.py": CODE})
    yield pair
    pair.close()


def train(server: RunningSandbox, path: str, **arguments: Any) -> str:
    return server.train(f"{FOLDER}/noted", "noted.note", path=f"acme/repo/fs/D/{path}", **arguments)


def test_either_serves_what_the_other_has_started(pair: Pair) -> None:
    jobs = [train(server, f"served-{number}") for number, server in enumerate((pair.a, pair.b, pair.a))]
    for job in jobs:
        for server in (pair.b, pair.a):
            assert server.wait(job)["results"] == [{"status": "OK", "result": 1}]
        assert [entry["log"] for entry in pair.a.log(job)] == [entry["log"] for entry in pair.b.log(job)] == ["start 1"]
    assert pair.b.names("acme/repo/fs/D/served-0") == ["1"]
    # They do not write, and rotate, one log.
    ports = {server.http.base_url.port for server in (pair.a, pair.b)}
    assert {int(file.stem.rpartition("-")[2]) for file in pair.a.data.glob("server*.log")} == ports


def test_they_have_one_queue_and_cancel_each_others_jobs(pair: Pair) -> None:
    running = [train(pair.a, f"running-{number}", seconds=60) for number in range(2)]
    for job in running:
        pair.b.wait_for_report(job, "start")
    waiting = [train(server, f"waiting-{number}") for number, server in enumerate((pair.b, pair.a, pair.b))]
    for server in (pair.a, pair.b):
        assert [server.status(job).get("queue_position") for job in waiting] == [1, 2, 3]
    assert pair.b.api("jobs/cancel", {"job_id": waiting[1]}) == {"status": "OK", "msg": "cancelled"}
    assert [pair.a.status(job).get("queue_position") for job in waiting] == [1, None, 2]
    with contextlib.closing(open_store(pair.url, "observer")) as store:
        # The database has a claim of one of them, but the answer was lost.
        owner = getattr(store.job(running[0]), "owner", None)
        assert owner is not None
        assert store.claim(waiting[0], owner) is not None
    for server, job in zip((pair.a, pair.b), running, strict=True):
        # One of them is the other server's.
        assert server.api("jobs/cancel", {"job_id": job})["status"] == "OK"
        assert server.wait(job)["msg"] == "cancelled"
        assert "has ended already" in server.api("jobs/cancel", {"job_id": job})["msg"]
    for job in (waiting[0], waiting[2]):
        assert pair.a.wait(job)["results"] == [{"status": "OK", "result": 1}]


def test_a_server_that_is_killed(pair: Pair) -> None:
    jobs = [train(pair.a, f"killed-{number}", seconds=600) for number in range(2)]
    for job in jobs:
        pair.a.wait_for_report(job, "start")
    last = train(pair.a, "killed-last")
    kill(pair.a)
    answers = [pair.b.status(job)["state"] for job in (*jobs, last)]
    assert answers == ["PENDING"] * 3
    lost = soon(lambda: [job for job in jobs if pair.b.status(job)["attempt"] == 2], 30)
    assert len(lost) == 1, "only the killed server's job is lost"
    # It waits for room.
    pair.b.api("jobs/cancel", {"job_id": next(job for job in jobs if job not in lost)})
    status = pair.b.wait(lost[0])
    assert status["results"] == [{"status": "OK", "result": 2}]
    assert status["attempts_lost"] == ["the sandbox that ran it has ended"]
    assert [entry["log"] for entry in pair.b.log(lost[0])] == ["start 1", "start 2"]
    assert pair.b.wait(last)["results"] == [{"status": "OK", "result": 1}]
    pair.a = pair.start("a")


def test_both_are_killed(pair: Pair) -> None:
    jobs = [train(pair.a, f"both-{number}", seconds=600) for number in range(3)]
    for job in jobs[:2]:
        pair.a.wait_for_report(job, "start")
    kill(pair.a, pair.b)
    pair.a, pair.b = pair.start("a"), pair.start("b")
    ended = [pair.b.wait(job)["results"] for job in jobs[:2]]
    assert ended == [[{"status": "OK", "result": 2}]] * 2
    pair.b.api("jobs/cancel", {"job_id": jobs[2]})


def test_a_server_that_sleeps_for_long_writes_nothing_late(pair: Pair) -> None:
    job = train(pair.a, "frozen", seconds=600)
    pair.b.wait_for_report(job, "start")
    owner = next(server for server in (pair.a, pair.b) if len(server.family()) > 1 and _runs_a_job(server))
    other = pair.b if owner is pair.a else pair.a
    family = owner.family()
    for process in family:
        process.suspend()
    try:
        assert soon(lambda: other.status(job)["state"] == "DONE", 40)
        told = other.status(job)
    finally:
        for process in family:
            process.resume()
    # It also stops its own process of the job.
    assert soon(lambda: not _runs_a_job(owner), 15)
    assert other.status(job) == told
    assert told["results"] == [{"status": "OK", "result": 2}]


def kill(*servers: RunningSandbox) -> None:
    for server in servers:
        server.process.kill()
    for server in servers:
        server.close()


def _runs_a_job(server: RunningSandbox) -> bool:
    return any(process.status() == psutil.STATUS_SLEEPING and process.nice() > 0 for process in server.family())
