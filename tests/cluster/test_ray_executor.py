"""The executor of a cluster keeps the promises of all executors, and those that only a cluster can break."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pytest_ibmodels.sandbox.errors import SandboxError, StartError
from pytest_ibmodels.sandbox.execution.executor import JobStatus
from pytest_ibmodels.sandbox.execution.job_spec import DriveSpec, JobSpec, Resources
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile
from pytest_ibmodels.sandbox.execution.ray_cluster.head import HEAD_LOG, find_cluster
from pytest_ibmodels.sandbox.execution.ray_cluster.ray_executor import RayExecutor
from pytest_ibmodels.sandbox.execution.served import PackagedModel, ServedSpec
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from tests.cluster.running import PROGRAM, RunningCluster, wait_for
from tests.sandbox.executor_contract import *  # noqa: F403 - the tests are run here
from tests.sandbox.executor_contract import Place, follow, is_running, run


def start(executor: RayExecutor, spec: JobSpec) -> JobStatus:
    """Start a job, and wait for its first report."""
    executor.start(spec)
    return follow(executor, spec.ref, lambda status: bool(status.reports))


def pids(status: JobStatus) -> list[int]:
    """The processes that a job reports."""
    found: list[int] = status.reports["task_data"]["pids"]
    return found


def lines(count: int) -> str:
    """The log of a job that counts."""
    return "".join(f"line {number}\n" for number in range(count))


def has_lines(spec: JobSpec) -> bool:
    """Whether some lines of a job's log have arrived."""
    return spec.log.exists() and spec.log.stat().st_size > 50


def driver_of(executor: RayExecutor) -> psutil.Process:
    """The process that uses Ray for an executor."""
    driver = executor._link._driver
    assert driver is not None
    return psutil.Process(driver.process.pid)


def supervisor_of(cluster: RunningCluster, status: JobStatus) -> psutil.Process:
    """The supervisor of the node that runs a job."""
    (found,) = cluster.node(status.node).find("ray::SupervisorActor")
    return found


def test_a_supervisor_that_is_killed(executor: RayExecutor, place: Place, cluster: RunningCluster) -> None:
    status = start(executor, spec := place.spec("sleep"))
    supervisor_of(cluster, status).kill()
    killed = time.monotonic()
    wait_for(lambda: not any(is_running(pid) for pid in pids(status)), 5)
    lost = follow(executor, spec.ref, lambda status: status.state == "lost", 30)
    assert time.monotonic() - killed > 5, "its processes might have run still"
    assert status.node in lost.reason
    executor.forget(spec.ref)
    cluster.wait_for_nodes(executor)
    assert all(node.running == 0 for node in executor.nodes())
    assert run(executor, place.spec("add", first=1, second=1)).state == "ended"


def test_a_process_of_an_actor_would_survive(cluster: RunningCluster, place: Place) -> None:
    """Why a supervisor runs jobs as it does: the clean-up above is not Ray's."""
    code = """
import os, subprocess, sys, time
import ray
ray.init(sys.argv[1], log_to_driver=False, configure_logging=False)
@ray.remote(num_cpus=0)
class Plain:
    def run(self):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        return os.getpid(), child.pid
plain = Plain.remote()
actor, child = ray.get(plain.run.remote())
os.kill(actor, 9)
print(child, flush=True)
os._exit(0)
"""
    environ = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(place.data / "cluster-token")}
    done = subprocess.run(
        [sys.executable, "-c", code, cluster.address],
        env=environ, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    child = psutil.Process(int(done.stdout))
    time.sleep(5)
    assert is_running(child.pid)
    child.kill()


def test_a_server_that_ends_leaves_its_jobs_to_another(
    executor: RayExecutor, place: Place, cluster: RunningCluster
) -> None:
    other = cluster.executor()
    spec = place.spec("count_slowly", lines=100)
    other.start(spec)
    status = follow(other, spec.ref, lambda _status: has_lines(spec))
    other.close()
    executor.find(spec, status.node)
    ended = follow(executor, spec.ref, lambda status: status.state == "ended")
    assert ended.outcome is not None
    assert ended.outcome.msg is None
    assert spec.log.read_text() == lines(100)
    executor.forget(spec.ref)


def test_two_servers_follow_one_job(executor: RayExecutor, place: Place, cluster: RunningCluster) -> None:
    """Both write the log, and both cancel; it ends once."""
    other = cluster.executor()
    spec = place.spec("count_slowly", lines=600)
    executor.start(spec)
    status = follow(executor, spec.ref, lambda _status: has_lines(spec))
    other.find(spec, status.node)
    follow(other, spec.ref, lambda status: status.state == "running")
    size = spec.log.stat().st_size
    wait_for(lambda: spec.log.stat().st_size > size)
    other.cancel(spec.ref, "cancelled")
    executor.cancel(spec.ref, "too late")
    for each in (other, executor):
        ended = follow(each, spec.ref, lambda status: status.state == "ended")
        assert ended.outcome is not None
        assert ended.outcome.msg == "cancelled"
    *counted, last = spec.log.read_text().splitlines(keepends=True)
    assert lines(600).startswith("".join(counted))
    assert last == "sandbox: ERROR: cancelled\n"
    executor.forget(spec.ref)
    other.forget(spec.ref)
    other.close()


def test_a_driver_that_is_killed(executor: RayExecutor, place: Place) -> None:
    spec = place.spec("count_slowly", lines=150)
    executor.start(spec)
    follow(executor, spec.ref, lambda _status: has_lines(spec))
    driver_of(executor).kill()
    follow(executor, spec.ref, lambda status: status.state == "unknown")
    with pytest.raises(SandboxError, match="may still run: the cluster does not answer"):
        executor.cancel(spec.ref, "cancelled")
    ended = follow(executor, spec.ref, lambda status: status.state == "ended")
    assert ended.outcome is not None
    assert ended.outcome.msg is None
    assert spec.log.read_text() == lines(150)
    executor.forget(spec.ref)


def test_a_job_is_cancelled_while_it_waits_for_a_place(
    executor: RayExecutor, place: Place, cluster: RunningCluster
) -> None:
    whole = Resources(cpus=2)
    running = [place.spec("sleep", resources=whole) for _ in cluster.nodes]
    for spec in running:
        start(executor, spec)
    waiting = place.spec("add", first=1, second=2)
    executor.start(waiting)
    time.sleep(0.3)
    assert executor.poll(waiting.ref).state == "pending"
    assert not executor.has_room(Resources())
    executor.cancel(waiting.ref, "cancelled")
    ended = executor.poll(waiting.ref)
    assert ended.outcome is not None
    assert ended.outcome.msg == "cancelled"
    for spec in running:
        executor.cancel(spec.ref, "cancelled")
        executor.forget(spec.ref)
    executor.forget(waiting.ref)
    assert run(executor, place.spec("add", first=1, second=1)).state == "ended"


def test_jobs_have_gpus_of_their_own(executor: RayExecutor, place: Place, cluster: RunningCluster) -> None:
    """No GPU is needed: the names are what counts."""
    cluster.add("--gpus", "2").joined()
    cluster.wait_for_nodes(executor)
    one, none = Resources(gpus=1), Resources()
    specs = [place.spec("show", resources=wanted, variable="CUDA_VISIBLE_DEVICES") for wanted in (one, one, none)]
    for spec in specs:
        executor.start(spec)
    ended = [follow(executor, spec.ref, lambda status: status.state == "ended") for spec in specs]
    results = [status.outcome.result for status in ended if status.outcome is not None]
    assert sorted(results) == ["", "0", "1"]
    for spec in specs:
        executor.forget(spec.ref)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_data_folder_that_is_read_only_on_one_node(
    executor: RayExecutor, place: Place, cluster: RunningCluster
) -> None:
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    node = cluster.add("--gpus", "3", before=("unshare", "-m", "sh", "-c", mount, str(place.data)))
    node.joined()
    cluster.wait_for_nodes(executor)
    outcome = run(executor, place.spec("add", resources=Resources(gpus=3), first=1, second=2)).outcome
    assert outcome is not None
    assert outcome.fault
    assert outcome.msg is not None
    assert f"node {node.address}" in outcome.msg
    assert f"the data folder {place.data} cannot be used: Read-only file system" in outcome.msg
    node.stop()
    del cluster.nodes[node.address]
    cluster.wait_for_nodes(executor)
    assert run(executor, place.spec("add", first=1, second=1)).state == "ended"


def test_a_node_of_another_version(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "data"
    other.mkdir()
    content = (place.data / "cluster.json").read_text()
    (other / "cluster.json").write_text(content.replace('"python": "3.', '"python": "2.'))
    done = subprocess.run(
        [*PROGRAM, "node", "--data", str(other)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("the node cannot start: this machine cannot join the cluster at 127.0.0.2:")
    assert "it has python 3." in line
    assert "where the cluster has 2." in line


MODEL = """
import os

class Echo:
    def __init__(self, model_data_path, ibsdk):
        self.calls = 0

    def load(self):
        pass

    def run(self, request):
        self.calls += 1
        return {"calls": self.calls, "pid": os.getpid()}
"""


def test_a_server_starts_no_head_beside_one_that_is_away(tmp_path: Path) -> None:
    """It would take the nodes away from the other servers."""
    ClusterFile.write(tmp_path, "127.0.0.2:1")
    with pytest.raises(StartError, match="the cluster at 127.0.0.2:1 does not answer; start its head"):
        find_cluster(Settings(tmp_path, executor="ray"))
    assert not (tmp_path / HEAD_LOG).exists()


def test_a_wrong_address_does_not_get_into_the_file_of_the_cluster(tmp_path: Path) -> None:
    ClusterFile.write(tmp_path, "127.0.0.2:1")
    for address in ("127.0.0.2:2", "nowhere", "127.0.0.2:"):
        with pytest.raises(StartError, match=f"--ray-address {address}: no head of a cluster answers there"):
            find_cluster(Settings(tmp_path, executor="ray", ray_address=address))
    found = ClusterFile.read(tmp_path)
    assert found is not None
    assert found.address == "127.0.0.2:1"


def test_a_cluster_has_one_head(cluster: RunningCluster, place: Place) -> None:
    before = ClusterFile.read(place.data)
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "node", "--head", "--data", str(place.data)]
    done = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "has a head already, which answers at 127.0.0." in done.stderr
    assert ClusterFile.read(place.data) == before
    assert cluster.nodes


def test_any_server_asks_the_same_model(executor: RayExecutor, place: Place, cluster: RunningCluster) -> None:
    folder = place.data / "model"
    package = folder / "src" / "py" / "echo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(MODEL)
    drive = DriveSpec.of(Drive(place.data / "drive", place.data / "tmp"))
    content = PackagedModel(
        name="echo", folder=folder, classpath="echo.Echo", packages=(), drive=drive, max_unzipped=2**20
    )
    spec = ServedSpec(
        version="1", content=content, environments=place.data / "environments", scratch=place.data / "tmp", seconds=60
    )
    first = executor.serve("tenant/echo")
    assert not first.is_loaded
    request = {"path": "a/b/fs/c/d", "document": None}
    answer = first.ask(spec, request)
    assert answer.result["calls"] == 1
    pid = answer.result["pid"]
    wait_for(lambda: first.is_loaded, 5)
    other = cluster.executor()
    try:
        assert other.serve("tenant/echo").ask(spec, request).result == {"calls": 2, "pid": pid}
    finally:
        other.close()
    assert executor.serve("tenant/echo").ask(spec, request).result["calls"] == 3, "it outlives a server"
    first.unload()
    wait_for(lambda: not first.is_loaded and not is_running(pid), 10)
