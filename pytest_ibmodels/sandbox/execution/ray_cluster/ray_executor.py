"""Executor that runs jobs on a Ray cluster, through the driver's process."""

import logging
import os
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError, StartError
from pytest_ibmodels.sandbox.execution.channel import Channel, receive_json, send_json
from pytest_ibmodels.sandbox.execution.executor import JobStatus, NodeStatus
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Outcome, Resources
from pytest_ibmodels.sandbox.execution.local_executor import Signal
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile, ray_environment
from pytest_ibmodels.sandbox.execution.runner import STOP_SECONDS
from pytest_ibmodels.sandbox.settings import GIB, Settings

logger = logging.getLogger(__name__)

DRIVER_LOG = "ray-driver.log"
_DRIVER = "pytest_ibmodels.sandbox.execution.ray_cluster.driver"
_FIRST_SECONDS = 90.0
_AGAIN_SECONDS = 2.0
_CANCEL_SECONDS = STOP_SECONDS + 10.0
_END_SECONDS = 5.0
_PENDING = JobStatus("pending")
_UNKNOWN_JOB = JobStatus("lost", reason="no server follows it")


class _Driver:
    """A process of the driver."""

    def __init__(self, settings: Settings, cluster: ClusterFile) -> None:
        self.channel, theirs = Pipe()
        log = settings.data / DRIVER_LOG
        with log.open("ab") as output:
            # -P: modules of the working directory are not found, here and in the cluster's processes.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", _DRIVER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[theirs.fileno()],
                env={**os.environ, **ray_environment(settings.data)}, start_new_session=True,
            )  # fmt: skip
        theirs.close()
        self._sending = threading.Lock()
        code = {
            "preload": settings.preload,
            "find_links": list(settings.find_links),
            "pip_variables": dict(settings.pip_variables),
        }
        data = {"data": str(settings.data), "data_id": cluster.id, "settings": code}
        self.send({"address": cluster.address, **data})

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; nothing happens if the process has ended."""
        try:
            with self._sending:
                send_json(self.channel, message)
        except OSError:
            pass

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait(_END_SECONDS)
        self.channel.close()


class RayExecutor:
    """Executor of a cluster. What is known of jobs and nodes is what the driver said last."""

    name = "ray"

    def __init__(self, settings: Settings, cluster: ClusterFile) -> None:
        """Connect to a cluster.

        Raises:
            StartError: It cannot be used.
        """
        self._settings = settings
        self._cluster = cluster
        self._signal = Signal()
        self._lock = threading.Condition()
        self._jobs: dict[JobRef, tuple[JobSpec, JobStatus]] = {}
        self._begun: set[JobRef] = set()
        self._nodes: list[dict[str, Any]] = []
        self._answers: dict[int, str | None] = {}
        """Problems by request; None as long as there is no answer."""
        self._last_request = 0
        self._driver: _Driver | None = None
        self._is_connected = False
        self._refused = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_driver, name="ray-driver", daemon=True)
        self._thread.start()
        with self._lock:
            self._lock.wait_for(lambda: self._has_nodes() or self._refused, _FIRST_SECONDS)
            refused = self._refused or ("" if self._is_connected else f"the cluster at {cluster.address} is silent")
        if refused:
            self.close()
            raise StartError(f"--executor ray: {refused}")

    def check(self, resources: Resources) -> None:
        """Check that a node could run a job.

        Raises:
            SandboxError: None could.
        """
        with self._lock:
            nodes = list(self._nodes)
        if nodes and not any(_fits(resources, node) for node in nodes):
            raise SandboxError(
                f"run_train: the job wants {resources}, and no node of the cluster has that: "
                f"{'; '.join(_amounts(node) for node in nodes)}; ask for less"
            )

    def has_room(self, resources: Resources) -> bool:
        """Whether a node has enough left, and no job waits for a place."""
        with self._lock:
            is_waiting = any(status.state == "pending" for _spec, status in self._jobs.values())
            return (
                self._is_connected
                and not is_waiting
                and any(node["state"] == "alive" and _fits(resources, node["free"]) for node in self._nodes)
            )

    def start(self, spec: JobSpec) -> None:
        """Find a place for a job."""
        with self._lock:
            if spec.ref in self._jobs:
                return
            self._jobs[spec.ref] = (spec, _PENDING)
            self._send_job(spec, _PENDING)

    def find(self, spec: JobSpec, node: str) -> None:
        """Watch an attempt that another server has started."""
        status = JobStatus("unknown", node=node, reason=f"node {node} was not asked yet")
        with self._lock:
            if spec.ref in self._jobs:
                return
            self._jobs[spec.ref] = (spec, status)
            self._send_job(spec, status)

    def begin(self, ref: JobRef) -> None:
        """Run a job that has a place."""
        with self._lock:
            if ref not in self._begun:
                self._begun.add(ref)
                self._send({"op": "begin", "ref": ref})

    def poll(self, ref: JobRef) -> JobStatus:
        """Return what is known of an attempt."""
        with self._lock:
            found = self._jobs.get(ref)
            return _UNKNOWN_JOB if found is None else found[1]

    def cancel(self, ref: JobRef, reason: str) -> None:
        """Stop an attempt.

        Raises:
            SandboxError: It may still run.
        """
        with self._lock:
            found = self._jobs.get(ref)
            if found is None or found[1].state in {"ended", "lost"}:
                return
            self._last_request += 1
            request = self._last_request
            self._answers[request] = None
            self._send({"op": "cancel", "ref": ref, "reason": reason, "id": request})
            self._lock.wait_for(lambda: self._answers[request] is not None, _CANCEL_SECONDS)
            problem = self._answers.pop(request)
        if problem is None:
            problem = "the cluster does not answer"
        if problem:
            raise SandboxError(f"job {ref.job_id} may still run: {problem}")

    def forget(self, ref: JobRef) -> None:
        """Drop an attempt."""
        with self._lock:
            self._jobs.pop(ref, None)
            self._begun.discard(ref)
            self._send({"op": "forget", "ref": ref})

    def wait(self, seconds: float) -> None:
        """Wait for a change."""
        self._signal.wait(seconds)

    def wake(self) -> None:
        """End a wait."""
        self._signal.wake()

    def nodes(self) -> list[NodeStatus]:
        """Return the nodes that run jobs."""
        with self._lock:
            return [
                NodeStatus(
                    each["name"], each["state"], each["cpus"], each["gpus"], each["memory"], each["running"]
                )
                for each in self._nodes
            ]

    def close(self) -> None:
        """End the driver; jobs run on."""
        self._closing.set()
        with self._lock:
            driver = self._driver
        if driver is not None:
            driver.process.kill()
        self._thread.join(_END_SECONDS)

    # --- the driver ---

    def _has_nodes(self) -> bool:
        return self._is_connected and bool(self._nodes)

    def _send(self, message: dict[str, Any]) -> None:
        if self._driver is not None and self._is_connected:
            self._driver.send(message)

    def _send_job(self, spec: JobSpec, status: JobStatus) -> None:
        """Tell the driver of a job: to start it, or to find it where it is."""
        job = {"spec": spec.model_dump(mode="json")}
        self._send({"op": "find", "node": status.node, **job} if status.node else {"op": "start", **job})

    def _keep_driver(self) -> None:
        while not self._closing.is_set():
            driver = _Driver(self._settings, self._cluster)
            with self._lock:
                self._driver = driver
            try:
                while not self._closing.is_set():
                    self._take(receive_json(driver.channel))
            except (EOFError, OSError):
                pass
            except Exception:
                logger.exception("the driver of the cluster")
            finally:
                driver.close()
                self._disconnect()
            if not self._closing.wait(_AGAIN_SECONDS):
                logger.warning("the connection to the cluster is made anew; %s says why", DRIVER_LOG)

    def _take(self, message: dict[str, Any]) -> None:
        event = message["event"]
        with self._lock:
            if event == "connected":
                self._is_connected = True
                for spec, status in self._jobs.values():
                    if status.state not in {"ended", "lost"}:
                        self._send_job(spec, status)
                self._begun.clear()
            elif event == "refused":
                self._refused = message["reason"]
                logger.error("%s", self._refused)
            elif event == "nodes":
                self._nodes = message["nodes"]
            elif event == "answer":
                if message["id"] in self._answers:
                    self._answers[message["id"]] = message["problem"]
            else:
                self._take_status(JobRef(*message["ref"]), message["status"])
            self._lock.notify_all()
        self._signal.wake()

    def _take_status(self, ref: JobRef, new: dict[str, Any]) -> None:
        found = self._jobs.get(ref)
        if found is None or found[1].state in {"ended", "lost"}:
            return
        spec, old = found
        outcome = None if new["outcome"] is None else Outcome(**new["outcome"])
        status = JobStatus(
            new["state"], new["node"], new["reports"] or old.reports, old.version + 1, outcome, new["reason"]
        )
        self._jobs[ref] = (spec, status)

    def _disconnect(self) -> None:
        """Without the driver, nothing is known of jobs that have a node."""
        with self._lock:
            self._is_connected = False
            self._driver = None
            for ref, (spec, old) in self._jobs.items():
                if old.node and old.state not in {"ended", "lost"}:
                    reason = "the cluster does not answer"
                    status = JobStatus("unknown", old.node, old.reports, old.version + 1, None, reason)
                    self._jobs[ref] = (spec, status)
            for request, problem in self._answers.items():
                self._answers[request] = problem if problem is not None else "the cluster does not answer"
            self._lock.notify_all()
        self._signal.wake()


def _fits(resources: Resources, amounts: dict[str, Any]) -> bool:
    return (
        resources.cpus <= amounts["cpus"]
        and resources.gpus <= amounts["gpus"]
        and (resources.memory or 0) <= amounts["memory"]
    )


def _amounts(node: dict[str, Any]) -> str:
    return f"{node['name']} has {node['cpus']:g} cpus, {node['gpus']:g} gpus and {node['memory'] / GIB:.1f} GiB"
