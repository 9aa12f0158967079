"""Messages of the driver and the supervisors of nodes."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_ibmodels.sandbox.execution.job_spec import JobRef, Outcome, Resources

KILL_SECONDS = 5.0
"""How long the processes of a job may outlive what started them."""
DROP_SECONDS = 60.0
"""How long an accepted job waits to be begun."""


@dataclass(frozen=True)
class NodeConfig:
    """Configuration of a supervisor.

    Attributes:
        name: Name of the node for people.
        address: Its address, which stays when the node starts anew.
        node_id: Ray's id of the node.
        data: The shared data folder.
        data_id: Its id, which its cluster file has.
        lease: Seconds that its jobs run on without word from the cluster.
        gpus: GPUs that Ray counts on the node.
        settings: Fields of :class:`Settings` that say how code is run.
    """

    name: str
    address: str
    node_id: str
    data: str
    data_id: str
    lease: float
    gpus: int
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Watched:
    """A job that the driver follows: the version that it knows, and how much of the log and of its times it has."""

    ref: JobRef
    version: int
    log: int
    marks: int


@dataclass(frozen=True)
class JobNews:
    """News of a job; *missing* says that the node does not know it. ``log`` and ``marks`` are new bytes."""

    ref: JobRef
    state: Literal["placed", "running", "ended", "missing"]
    version: int = 0
    reports: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    log: bytes = b""
    marks: bytes = b""


@dataclass(frozen=True)
class NodeNews:
    """Answer of a supervisor.

    Attributes:
        age: Seconds since the supervisor's start.
        taken: What its unfinished jobs take.
        jobs: Those of the watched jobs of which something is new.
        served: Names of the models that are loaded.
    """

    age: float
    taken: dict[JobRef, Resources]
    jobs: list[JobNews]
    served: list[str]
