"""Nodes and jobs, as far as the driver knows them."""

import asyncio
import hashlib
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.executor import State
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Outcome, Resources
from pytest_ibmodels.sandbox.execution.joblog import marks_file
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import (
    KILL_SECONDS,
    JobNews,
    NodeNews,
    Watched,
)
from pytest_ibmodels.sandbox.execution.ray_cluster.session import RayNode


class Copy:
    """Copy of a file that grows elsewhere; two servers that write it write the same bytes to the same place."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.size = file.stat().st_size if file.exists() else 0

    def append(self, content: bytes) -> None:
        """Add the bytes that follow; they are left out if the disk is full."""
        if not content:
            return
        with suppress(OSError):
            number = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(number, content, self.size)
            finally:
                os.close(number)
        self.size += len(content)


@dataclass(eq=False)
class Node:
    """A node of the cluster.

    Attributes:
        actor: Its supervisor; None as long as there is none.
        refused: Clause that says why no job runs there; empty if jobs do.
        taken: What unfinished jobs take there.
        served: Names of the models that are loaded there.
        silent_since: Since when the supervisor does not answer.
        gone_since: Since when the node is dead, or has no supervisor.
    """

    id: str
    found: RayNode
    actor: Any = None
    refused: str = ""
    taken: dict[JobRef, Resources] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)
    silent_since: float | None = None
    gone_since: float | None = None
    attached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the supervisor can be asked, or the node is refused."""

    @property
    def name(self) -> str:
        """Name for people, unique in the cluster."""
        return f"{self.found.name}-{self.id[:6]}"

    @property
    def state(self) -> str:
        """State for people."""
        if not self.found.alive:
            return "dead"
        if self.refused:
            return f"refused: {self.refused}"
        if self.actor is None:
            return "starting"
        return "alive" if self.silent_since is None else "silent"

    def as_json(self) -> dict[str, Any]:
        """Return it for the server."""
        taken = self.taken.values()
        return {
            "name": self.name,
            "state": self.state,
            "cpus": self.found.cpus,
            "gpus": self.found.gpus,
            "memory": self.found.memory,
            "running": len(taken),
            "served": self.served,
            "free": {
                "cpus": self.found.cpus - sum(each.cpus for each in taken),
                "gpus": int(self.found.gpus - sum(each.gpus for each in taken)),
                "memory": self.found.memory - sum(each.memory or 0 for each in taken),
            },
        }


@dataclass(eq=False)
class Followed:
    """A job that the server follows.

    Attributes:
        node_name: Name of the node that has taken it; empty before.
        unknown: Clause that says why its state is not known now.
        gone_since: Since when its node is not known.
        is_stopping: Whether it is cancelled.
    """

    spec: JobSpec
    node_name: str = ""
    state: State = "pending"
    reason: str = ""
    reports: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    version: int = -1
    log: Copy | None = None
    marks: Copy | None = None
    unknown: str = ""
    gone_since: float | None = None
    starting: "asyncio.Task[None] | None" = None
    is_stopping: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the end is known."""

    @property
    def is_over(self) -> bool:
        return self.state in {"ended", "lost"}

    def taken_by(self, node_name: str) -> None:
        """Follow the job on a node."""
        self.node_name = node_name
        self.log, self.marks = Copy(self.spec.log), Copy(marks_file(self.spec.log))

    def watched(self) -> Watched:
        """Return what is known of a job that a node has taken."""
        assert self.log is not None  # noqa: S101 - the caller has asked
        assert self.marks is not None  # noqa: S101
        return Watched(self.spec.ref, self.version, self.log.size, self.marks.size)

    def apply(self, news: JobNews, node: NodeNews) -> None:
        """Take over what is new."""
        if self.is_over:
            return
        if news.state == "missing":
            # Processes of an earlier supervisor of the node may be about to end.
            if node.age > KILL_SECONDS:
                self._lose(f"its supervisor on node {self.node_name} has ended")
            return
        assert self.log is not None  # noqa: S101 - only such jobs are asked for
        assert self.marks is not None  # noqa: S101
        self.marks.append(news.marks)
        self.log.append(news.log)
        self.state, self.version, self.reports, self.reason = news.state, news.version, news.reports, ""
        self.outcome = news.outcome

    def miss(self, node: Node | None, lease: float) -> None:
        """Find out what became of a job whose node does not answer."""
        now = time.monotonic()
        self.gone_since = (self.gone_since or now) if node is None else None
        if node is None:
            since, wait = self.gone_since or now, lease + KILL_SECONDS
            reason = f"node {self.node_name} is no longer in the cluster"
        elif not node.found.alive:
            since, wait, reason = node.gone_since or now, lease + KILL_SECONDS, f"node {self.node_name} died"
        elif node.actor is None and node.gone_since is not None:
            since, wait = node.gone_since, KILL_SECONDS
            reason = f"its supervisor on node {self.node_name} has ended"
        elif node.actor is None or node.silent_since is not None:
            since, wait, reason = now, float("inf"), f"node {self.node_name} does not answer"
        else:
            self.unknown = ""
            return
        self.unknown = reason
        if now > since + wait:
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        # A process that was frozen between looking at its lease and writing cannot write any more, either.
        shutil.rmtree(self.spec.arriving, ignore_errors=True)
        self.state, self.reason = "lost", reason

    def as_json(self) -> dict[str, Any]:
        """Return its status for the server."""
        return {
            "state": "unknown" if self.unknown and not self.is_over else self.state,
            "node": self.node_name,
            "reports": self.reports,
            "reason": self.reason or self.unknown,
            "outcome": None if self.outcome is None else asdict(self.outcome),
        }


@dataclass(eq=False)
class Cluster:
    """A cluster: its nodes by Ray's ids, and the jobs that the server follows.

    Attributes:
        lease: Seconds that jobs of a node run on when it has lost the cluster.
    """

    lease: float
    nodes: dict[str, Node] = field(default_factory=dict)
    jobs: dict[JobRef, Followed] = field(default_factory=dict)

    def node_named(self, name: str) -> Node | None:
        """Return a node by its name."""
        return next((node for node in self.nodes.values() if node.name == name), None)

    def node_of(self, job: Followed) -> Node | None:
        """Return the node that has taken a job."""
        return self.node_named(job.node_name) if job.node_name else None

    async def node_for_model(self, name: str, seconds: float) -> Node | None:
        """Return the node that has loaded a model, or else the one that all servers choose for it.

        Nodes that are just starting have up to ``seconds`` to say what they have loaded.
        """
        starting = [node.attached.wait() for node in self.nodes.values() if node.found.alive and node.found.cpus]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*starting), seconds)
        usable = [node for node in self.nodes.values() if node.actor is not None and node.silent_since is None]
        if not usable:
            return None
        loaded = [node for node in usable if name in node.served]
        # A node that joins or leaves changes the choice for few models only.
        return max(loaded or usable, key=lambda node: hashlib.sha256(f"{node.id} {name}".encode()).digest())
