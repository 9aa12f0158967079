"""Models of ``sandbox/status``, which only the sandbox has (Instabase protocol, "Sandbox")."""

from __future__ import annotations

from pydantic import Field

from pytest_ibmodels.instabase.wire import Envelope, WireModel


class NodeStatus(WireModel):
    """A machine of a sandbox.

    Attributes:
        name: its host name.
        state: ``alive`` if jobs may start there, else another word.
        cpus, gpus, memory: all that the machine has; ``memory`` in bytes, null if it is unknown.
        running: number of jobs that run there.
        slots: number of jobs without ``resources`` that may run there at once.
        free: number of these slots that are free.
    """

    name: str
    state: str
    cpus: float
    gpus: float
    memory: int | None = Field(None, ge=0, lt=2**63)
    running: int
    slots: int
    free: int


class SandboxStatus(Envelope):
    """Answer of ``sandbox/status``.

    Attributes:
        version: version of pytest-ibmodels on the server.
        executor: ``local`` for one machine, or the name of what runs jobs on several.
        queue: number of jobs that wait, those of all tokens.
        max_jobs: number of jobs that may run at once on all machines.
    """

    version: str
    executor: str
    nodes: list[NodeStatus] = Field(default_factory=list)
    queue: int
    max_jobs: int
