"""The supervisor of a node without its cluster: what it says of jobs when its lease ends."""

import threading
import time
from pathlib import Path

import pytest

from pytest_ibmodels.sandbox.execution.ray_cluster import supervisor as supervisors
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import NodeConfig, Watched
from pytest_ibmodels.sandbox.execution.ray_cluster.supervisor import Supervisor
from tests.sandbox.executor_contract import Place, is_running

pytest.importorskip("ray")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Place(tmp_path / "data")


def test_a_job_that_ends_with_the_lease_has_no_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # It would end what other tests have started.
    monkeypatch.setattr(supervisors, "kill_all", lambda: None)
    # So its process sees the end of the lease first, and kills itself.
    monkeypatch.setattr(supervisors, "_TICK_SECONDS", 3.0)
    spec = place.spec("sleep")
    data_id = ClusterFile.write(place.data, "127.0.0.1:1").id
    ended = threading.Event()

    def confirm() -> bool:
        raise TimeoutError

    config = NodeConfig(
        name="a",
        address="127.0.0.1",
        node_id="1",
        data=str(place.data),
        data_id=data_id,
        gpus=0,
        settings={},
        lease=2.0,
    )
    supervisor = Supervisor(config, confirm, ended.set)
    assert supervisor.accept(spec.model_dump_json()) == ""
    supervisor.begin(*spec.ref)
    watched = Watched(spec.ref, -1, 0, 0)
    states: set[str] = set()
    pids: list[int] = []
    deadline = time.monotonic() + 10
    while not ended.is_set() and time.monotonic() < deadline:
        for news in supervisor.poll([watched], 0.1).jobs:
            states.add(news.state)
            pids = news.reports.get("task_data", {}).get("pids", pids)
    assert ended.is_set()
    assert pids
    assert not [pid for pid in pids if is_running(pid)]
    for news in supervisor.poll([watched], 0.1).jobs:
        states.add(news.state)
    assert states <= {"placed", "running"}
