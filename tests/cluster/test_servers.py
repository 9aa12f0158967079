"""Two servers on one PostgreSQL database, one data folder and one cluster: jobs run on when servers end."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.cluster.running import SLOTS, RunningCluster, wait_for
from tests.databases import empty_database
from tests.sandbox.running import RunningSandbox

FOLDER = "acme/repo/fs/Instabase Drive/pushed for a cluster"
CODE = """
import time

def count(job_metadata_client, lines, **others):
    job_metadata_client.update_metadata({"begun": time.time()})
    for number in range(lines):
        print("line", number, flush=True)
        time.sleep(0.05)
    return [time.time(), lines]

def rest(seconds, **others):
    begun = time.time()
    time.sleep(seconds)
    return [begun, time.time()]
"""


class Servers:
    """Two servers, either of which may be killed and started anew."""

    def __init__(self, cluster: RunningCluster, url: str) -> None:
        self._cluster = cluster
        self._url = url
        self.all = [self.start(name) for name in "ab"]

    def start(self, name: str) -> RunningSandbox:
        """Start the server of this name, a or b."""
        data = self._cluster.data
        options = ("--database", self._url, "--executor", "ray")
        return RunningSandbox(data, *options, token_file=data.parent / f"{name}.token")

    def kill(self, index: int) -> None:
        """Kill a server at once."""
        self.all[index].process.kill()
        self.all[index].close()

    def restart(self, index: int) -> None:
        """Start a server that was killed."""
        self.all[index] = self.start("ab"[index])


@pytest.fixture(scope="module")
def url(postgresql: str) -> str:
    """The URL of an empty database."""
    return empty_database(postgresql)


@pytest.fixture(scope="module")
def servers(cluster: RunningCluster, url: str) -> Iterator[Servers]:
    found = Servers(cluster, url)
    found.all[0].push(FOLDER, {"counted/__init__.py": CODE})
    yield found
    for server in found.all:
        server.close()


def train(server: RunningSandbox, lines: int) -> str:
    return server.train(f"{FOLDER}/counted", "counted.count", lines=lines)


def result(server: RunningSandbox, job: str) -> Any:
    status = server.wait(job)
    assert status["status"] == "OK", status
    return status["results"][0]["result"]


def log(server: RunningSandbox, job: str) -> list[str]:
    return [entry["log"] for entry in server.log(job)]


def test_a_job_runs_on_when_its_server_is_killed(servers: Servers) -> None:
    first, second = servers.all
    job = train(first, 160)
    first.wait_for_report(job, "begun")
    wait_for(lambda: log(second, job))
    servers.kill(0)
    seen: list[str] = []
    while len(seen) < 160:
        now = log(second, job)
        assert now[: len(seen)] == seen, "what was read once stays"
        seen = now
    assert result(second, job)[1] == 160
    assert log(second, job) == [f"line {number}" for number in range(160)], "one attempt, without gap or repetition"
    servers.restart(0)


def test_a_job_runs_on_when_all_servers_are_killed(servers: Servers) -> None:
    job = train(servers.all[0], 200)
    servers.all[1].wait_for_report(job, "begun")
    for index in (0, 1):
        servers.kill(index)
    for index in (0, 1):
        servers.restart(index)
    assert result(servers.all[1], job)[1] == 200
    assert log(servers.all[0], job) == [f"line {number}" for number in range(200)]


def test_a_long_queue_on_all_nodes(servers: Servers, cluster: RunningCluster, url: str) -> None:
    """Two servers start 200 jobs in the order of the queue, and give no slot to two jobs."""
    each = itertools.cycle(servers.all)
    jobs = [next(each).train(f"{FOLDER}/counted", "counted.rest", seconds=0.1) for _ in range(200)]
    status = servers.all[0].status
    # The last job first: those before it only become fewer meanwhile.
    positions = [found for job in reversed(jobs) if (found := status(job).get("queue_position")) is not None]
    assert all(later > earlier for later, earlier in itertools.pairwise(positions)), positions
    assert len(positions) > 50, "the queue was short"
    ended = [result(servers.all[1], job) for job in jobs]
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, started, owner, node, attempt FROM jobs")).mappings()
        found = {row["id"]: row for row in rows}
    engine.dispose()
    started = [found[job]["started"] for job in jobs]
    assert started == sorted(started), "a job was started before one that was queued earlier"
    assert {found[job]["attempt"] for job in jobs} == {1}
    assert len({found[job]["owner"] for job in jobs}) == 2
    spans: dict[str, list[list[float]]] = {}
    for job, span in zip(jobs, ended, strict=True):
        spans.setdefault(found[job]["node"], []).append(span)
    assert len(spans) == len(cluster.nodes)
    for node, its_spans in spans.items():
        at_once = max(sum(begin <= moment < end for begin, end in its_spans) for moment, _end in its_spans)
        assert at_once <= SLOTS, f"{node} ran {at_once} jobs at once"
