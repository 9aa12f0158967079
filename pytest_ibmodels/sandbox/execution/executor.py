"""Protocol of the engines that run jobs and served models, on this machine or on a cluster."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pytest_ibmodels.instabase.wire_sandbox import NodeStatus
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Outcome, Resources
from pytest_ibmodels.sandbox.execution.served import Served

State = Literal["pending", "placed", "running", "ended", "lost", "unknown"]


@dataclass(frozen=True)
class JobStatus:
    """State of one attempt of a job, as far as it is known.

    Attributes:
        state: *pending* waits for a place. *placed* has one, and runs as soon as :meth:`Executor.begin` says so.
            *ended* has an ``outcome``. Of a *lost* attempt nothing runs any more, and its outcome is not known. It is
            *unknown* while its machine does not answer, so the attempt may still run.
        node: Name of the machine; empty on a sandbox of one machine.
        reports: The newest ``task_data``, ``message`` and ``peak_memory`` (bytes), as far as there are any.
        version: Number that grows with every change.
        reason: Clause that says why an attempt is lost or unknown, such as "node B died".
    """

    state: State
    node: str = ""
    reports: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    outcome: Outcome | None = None
    reason: str = ""


class Executor(Protocol):
    """Engine that runs jobs. All methods may be called from any thread; ``cancel`` blocks, the others are quick."""

    @property
    def name(self) -> str:
        """Name of the kind: local or ray."""

    def check(self, resources: Resources) -> None:
        """Check that some machine could ever run a job with these resources.

        Raises:
            SandboxError: None could; the message says what there is.
        """

    def has_room(self, resources: Resources) -> bool:
        """Whether a job can be started now, without others that wait for a place before it."""

    def start(self, spec: JobSpec) -> None:
        """Find a place for a job, which then waits for :meth:`begin`. Starting the same attempt again does nothing."""

    def find(self, spec: JobSpec, node: str) -> None:
        """Watch an attempt that another server has started on ``node``; it is lost if nothing is known of it."""

    def begin(self, ref: JobRef) -> None:
        """Run a job that is *placed*."""

    def poll(self, ref: JobRef) -> JobStatus:
        """Return what is known of an attempt now."""

    def cancel(self, ref: JobRef, reason: str) -> None:
        """Stop an attempt, which ends with the message ``reason``; return when nothing of it runs any more.

        Raises:
            SandboxError: Its machine does not answer, so that it may still run.
        """

    def forget(self, ref: JobRef) -> None:
        """Drop what is kept of an attempt whose end is stored."""

    def serve(self, name: str) -> Served:
        """Return what answers for the model of this name; nothing is loaded before the first request."""

    def wait(self, seconds: float) -> None:
        """Wait until a status has changed since the last call, :meth:`wake` was called, or ``seconds`` have passed."""

    def wake(self) -> None:
        """End a :meth:`wait`, the present one or the next."""

    def nodes(self) -> list[NodeStatus]:
        """Return the machines."""

    def close(self) -> None:
        """Release everything; jobs of this process are killed, those of other machines run on."""


class Signal:
    """Event for one thread that waits and many that wake it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self) -> None:
        """End a wait, the present one or the next."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait for :meth:`wake`."""
        self._event.wait(seconds)
        self._event.clear()
