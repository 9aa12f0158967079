"""Executor that runs jobs, and serves models, on a Ray cluster."""

import logging
import threading
from typing import Any

from pytest_ibmodels.instabase.wire_sandbox import NodeStatus
from pytest_ibmodels.sandbox.errors import SandboxError, StartError
from pytest_ibmodels.sandbox.execution.executor import JobStatus, Signal
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Outcome, Resources
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile
from pytest_ibmodels.sandbox.execution.ray_cluster.driver_link import DRIVER_LOG, DriverLink
from pytest_ibmodels.sandbox.execution.ray_cluster.head import Head
from pytest_ibmodels.sandbox.execution.runner import STOP_SECONDS
from pytest_ibmodels.sandbox.execution.served import Answer, Served, ServedSpec
from pytest_ibmodels.sandbox.settings import GIB, Settings

logger = logging.getLogger(__name__)

_FIRST_SECONDS = 90.0
_CANCEL_SECONDS = STOP_SECONDS + 10.0
_UNLOAD_SECONDS = 30.0
_LOADS = 3
"""Limits of one answer that a request may take: installing requirements, loading, answering."""
_OVER = frozenset({"ended", "lost"})
_PENDING = JobStatus("pending")
_UNKNOWN_JOB = JobStatus("lost", reason="no server follows it")
_SILENT = "the cluster does not answer"


class RayExecutor:
    """Executor of a cluster. What is known of jobs and nodes is what the driver said last."""

    name = "ray"

    def __init__(self, settings: Settings, cluster: ClusterFile, head: Head | None = None) -> None:
        """Connect to a cluster.

        Args:
            settings: Those of the server.
            cluster: The cluster.
            head: Its head if it belongs to this server, and ends with it.

        Raises:
            StartError: The cluster cannot be used.
        """
        self._head = head
        self._signal = Signal()
        self._changed = threading.Condition()
        self._jobs: dict[JobRef, tuple[JobSpec, JobStatus]] = {}
        self._begun: set[JobRef] = set()
        self._nodes: list[dict[str, Any]] = []
        self._is_connected = False
        self._refused = ""
        self._link = DriverLink(settings, self._take, self._disconnect)
        self._link.start()
        with self._changed:
            self._changed.wait_for(lambda: (self._is_connected and self._nodes) or self._refused, _FIRST_SECONDS)
            problem = self._refused
            if not problem and not self._is_connected:
                problem = f"the cluster at {cluster.address} does not answer; {settings.data / DRIVER_LOG} may say why"
        if problem:
            self.close()
            raise StartError(f"--executor ray: {problem}")

    def check(self, resources: Resources) -> None:
        """Check that a node could run a job.

        Raises:
            SandboxError: None could.
        """
        with self._changed:
            nodes = [node for node in self._nodes if node["state"] != "dead"]
        if nodes and not any(_fits(resources, node) for node in nodes):
            raise SandboxError(
                f"run_train: the job wants {resources}, and no node of the cluster has that: "
                f"{'; '.join(_amounts(node) for node in nodes)}; ask for less"
            )

    def has_room(self, resources: Resources) -> bool:
        """Whether a node has enough left, and no job waits for a place."""
        with self._changed:
            is_waiting = any(status.state == "pending" for _spec, status in self._jobs.values())
            return (
                self._is_connected
                and not is_waiting
                and any(node["state"] == "alive" and _fits(resources, node["free"]) for node in self._nodes)
            )

    def start(self, spec: JobSpec) -> None:
        """Find a place for a job."""
        self._follow(spec, _PENDING)

    def find(self, spec: JobSpec, node: str) -> None:
        """Watch an attempt that another server has started."""
        self._follow(spec, JobStatus("unknown", node=node, reason=f"node {node} was not asked yet"))

    def begin(self, ref: JobRef) -> None:
        """Run a job that has a place."""
        with self._changed:
            if ref not in self._begun:
                self._begun.add(ref)
                self._link.send({"op": "begin", "ref": ref})

    def poll(self, ref: JobRef) -> JobStatus:
        """Return what is known of an attempt."""
        with self._changed:
            found = self._jobs.get(ref)
            return _UNKNOWN_JOB if found is None else found[1]

    def cancel(self, ref: JobRef, reason: str) -> None:
        """Stop an attempt.

        Raises:
            SandboxError: It may still run.
        """
        if self.poll(ref).state in _OVER:
            return
        problem = self._link.request({"op": "cancel", "ref": ref, "reason": reason}, _CANCEL_SECONDS)
        if problem != "":
            raise SandboxError(f"job {ref.job_id} may still run: {problem or _SILENT}")

    def forget(self, ref: JobRef) -> None:
        """Drop an attempt."""
        with self._changed:
            self._jobs.pop(ref, None)
            self._begun.discard(ref)
            self._link.send({"op": "forget", "ref": ref})

    def serve(self, name: str) -> Served:
        """Return what answers for a model, on a node that all servers choose for it."""
        return _RayServed(self, name)

    def ask(self, name: str, spec: ServedSpec, request: dict[str, Any]) -> Answer:
        """Answer a request for a model."""
        further = max(0, len(request.get("list", ())) - 1)
        seconds = (_LOADS + further) * spec.seconds
        message = {"op": "ask", "name": name, "spec": spec.model_dump(mode="json"), "request": request}
        found = self._link.request({**message, "seconds": seconds}, seconds + STOP_SECONDS)
        return Answer(fault=_SILENT, while_loading=True) if found is None else Answer(**found)

    def unload(self, name: str) -> None:
        """Unload a model."""
        self._link.send({"op": "unload", "name": name, "seconds": _UNLOAD_SECONDS})

    def is_loaded(self, name: str) -> bool:
        """Whether a node has loaded a model."""
        with self._changed:
            return any(name in node["served"] for node in self._nodes)

    def wait(self, seconds: float) -> None:
        """Wait for a change."""
        self._signal.wait(seconds)

    def wake(self) -> None:
        """End a wait."""
        self._signal.wake()

    def nodes(self) -> list[NodeStatus]:
        """Return the nodes that run jobs."""
        with self._changed:
            return [
                NodeStatus(
                    name=each["name"],
                    state=each["state"],
                    cpus=each["cpus"],
                    gpus=each["gpus"],
                    memory=each["memory"],
                    running=each["running"],
                    slots=int(each["cpus"]),
                    free=max(0, int(each["free"]["cpus"])) if each["state"] == "alive" else 0,
                )
                for each in self._nodes
            ]

    def close(self) -> None:
        """Let go of the cluster, where jobs run on, and end it if it belongs to this server."""
        self._link.close()
        if self._head is not None:
            self._head.close()

    def _follow(self, spec: JobSpec, status: JobStatus) -> None:
        with self._changed:
            if spec.ref not in self._jobs:
                self._jobs[spec.ref] = (spec, status)
                if self._is_connected:
                    self._tell_of(spec, status)

    def _tell_of(self, spec: JobSpec, status: JobStatus) -> None:
        """Tell the driver of a job: to start it, or to find it where it is."""
        job = {"spec": spec.model_dump(mode="json")}
        self._link.send({"op": "find", "node": status.node, **job} if status.node else {"op": "start", **job})

    # --- what the driver says ---

    def _take(self, message: dict[str, Any]) -> None:
        with self._changed:
            if message["event"] == "connected":
                self._is_connected = True
                self._begun.clear()
                for spec, status in self._jobs.values():
                    if status.state not in _OVER:
                        self._tell_of(spec, status)
            elif message["event"] == "refused":
                self._refused = message["reason"]
                logger.error("%s", self._refused)
            elif message["event"] == "nodes":
                self._nodes = message["nodes"]
            else:
                self._take_status(JobRef(*message["ref"]), message["status"])
            self._changed.notify_all()
        self._signal.wake()

    def _take_status(self, ref: JobRef, new: dict[str, Any]) -> None:
        found = self._jobs.get(ref)
        if found is None or found[1].state in _OVER:
            return
        spec, old = found
        outcome = None if new["outcome"] is None else Outcome(**new["outcome"])
        reports = new["reports"] or old.reports
        status = JobStatus(new["state"], new["node"], reports, old.version + 1, outcome, new["reason"])
        self._jobs[ref] = (spec, status)

    def _disconnect(self) -> None:
        """Without the driver, nothing is known of jobs that have a node."""
        with self._changed:
            self._is_connected = False
            for ref, (spec, old) in self._jobs.items():
                if old.node and old.state not in _OVER:
                    self._jobs[ref] = (
                        spec,
                        JobStatus("unknown", old.node, old.reports, old.version + 1, None, _SILENT),
                    )
        self._signal.wake()


class _RayServed:
    """The process that answers for one model, wherever it is."""

    def __init__(self, executor: RayExecutor, name: str) -> None:
        self._executor = executor
        self._name = name

    @property
    def is_loaded(self) -> bool:
        """Whether a node has loaded it."""
        return self._executor.is_loaded(self._name)

    def ask(self, spec: ServedSpec, request: dict[str, Any]) -> Answer:
        """Answer a request."""
        return self._executor.ask(self._name, spec, request)

    def unload(self) -> None:
        """Unload it."""
        self._executor.unload(self._name)

    def kill(self) -> None:
        """Do nothing: other servers may use it, and its node unloads it when it is idle."""


def _fits(resources: Resources, amounts: dict[str, Any]) -> bool:
    wanted = {"cpus": resources.cpus, "gpus": resources.gpus, "memory": resources.memory or 0}
    return all(amount <= amounts[name] for name, amount in wanted.items())


def _amounts(node: dict[str, Any]) -> str:
    return (
        f"{node['name']} has {node['cpus']:g} cpus, {node['gpus']:g} gpus and {node['memory'] / GIB:.1f} GiB of memory"
    )
