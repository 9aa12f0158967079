"""Machines of a cluster that die, freeze and come back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ibmodels.sandbox.execution.executor import JobStatus
from pytest_ibmodels.sandbox.execution.ray_cluster.ray_executor import RayExecutor
from tests.cluster.running import NodeProcess, RunningCluster, wait_for
from tests.sandbox.executor_contract import Place, follow, is_running, run

LEASE = 6.0
HEALTH = {
    # A frozen node is given up after 16 s instead of 65 s.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}


@pytest.fixture(scope="module")
def place(short_tmp: Path) -> Place:
    return Place(short_tmp / "faults")


@pytest.fixture(scope="module")
def cluster(place: Place, no_processes_left: None) -> Iterator[RunningCluster]:
    running = RunningCluster(place.data, environ=HEALTH)
    yield running
    running.close()


@pytest.fixture(scope="module")
def executor(cluster: RunningCluster) -> Iterator[RayExecutor]:
    made = cluster.connect(node_lease=LEASE)
    yield made
    made.close()


def test_nodes_that_freeze_and_die(executor: RayExecutor, place: Place, cluster: RunningCluster) -> None:
    """Three nodes at once: one loses its power, one freezes as a whole, and of one only Ray freezes.

    Their jobs catch all errors, and write a file for ever.
    """
    specs = [place.spec("write_on", path=f"a/b/fs/c/{number}") for number in range(len(cluster.nodes) * 2)]
    for spec in specs:
        executor.start(spec)
    running = {spec.ref: follow(executor, spec.ref, lambda status: "task_data" in status.reports) for spec in specs}
    dead, frozen, partly = cluster.nodes.values()
    on = {
        node: [spec for spec in specs if cluster.node(running[spec.ref].node) is node]
        for node in cluster.nodes.values()
    }
    assert [len(jobs) for jobs in on.values()] == [2, 2, 2]
    files = {spec.ref: place.data / "drive" / str(spec.arguments["path"]) for spec in specs}
    wait_for(lambda: all(file.exists() for file in files.values()))

    family = frozen.family()
    frozen.freeze()
    for process in partly.find("raylet/raylet"):
        process.suspend()
    dead.cut_power()
    cut = time.monotonic()
    wait_for(lambda: not any(is_running(pid) for spec in on[dead] for pid in _pids(running[spec.ref])), 5)
    unknown = [follow(executor, spec.ref, lambda status: status.state == "unknown") for spec in on[frozen]]
    assert all("does not answer" in status.reason for status in unknown)

    lost = {spec.ref: follow(executor, spec.ref, lambda status: status.state == "lost", 90) for spec in specs}
    assert time.monotonic() - cut > LEASE
    assert all(f"node {status.node} died" in status.reason for status in lost.values())
    # Only Ray was frozen there: the supervisor has ended the jobs because the cluster gave up the node.
    assert not any(is_running(pid) for spec in on[partly] for pid in _pids(running[spec.ref]))
    contents = {ref: file.read_text() for ref, file in files.items()}
    # Jobs first: nothing else may stop them before they write.
    for process in reversed(family):
        process.resume()
    wait_for(lambda: not any(is_running(pid) for spec in on[frozen] for pid in _pids(running[spec.ref])), 10)
    assert {ref: file.read_text() for ref, file in files.items()} == contents, "a job wrote after it was lost"
    for spec in specs:
        executor.forget(spec.ref)

    for node in (dead, frozen, partly):
        node.stop()
        del cluster.nodes[node.address]
    again = cluster.add()
    again.joined()
    cluster.wait_for_nodes(executor)
    ended = run(executor, specs[0].model_copy(update={"function": "pushed.count", "arguments": {"lines": 1}}))
    assert ended.state == "ended"
    assert cluster.node(ended.node) is again


def test_a_head_that_dies_and_comes_back(executor: RayExecutor, place: Place, cluster: RunningCluster) -> None:
    (node,) = cluster.nodes.values()
    spec = place.spec("sleep")
    executor.start(spec)
    status = follow(executor, spec.ref, lambda status: "task_data" in status.reports)
    cluster.head.cut_power()
    cluster.head.stop()
    wait_for(lambda: not any(is_running(pid) for pid in _pids(status)), LEASE + 10)
    assert follow(executor, spec.ref, lambda status: status.state == "unknown", 60).node == status.node
    _end_of(node)
    cluster.restart_head(HEALTH)
    cluster.add().joined()
    lost = follow(executor, spec.ref, lambda status: status.state == "lost", 120)
    assert lost.reason == f"node {status.node} is no longer in the cluster"
    executor.forget(spec.ref)
    cluster.wait_for_nodes(executor)
    assert run(executor, place.spec("add", first=1, second=2)).state == "ended"


def _pids(status: JobStatus) -> list[int]:
    found: list[int] = status.reports["task_data"]["pids"]
    return found


def _end_of(node: NodeProcess) -> None:
    """A node without a head ends by itself; whoever runs it starts it again."""
    node.process.wait(90)
