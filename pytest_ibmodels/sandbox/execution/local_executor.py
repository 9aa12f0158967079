"""Executor of one machine: jobs are processes of this one, at most ``max_jobs`` at once."""

import math
import os
import platform
import threading

import psutil

from pytest_ibmodels.instabase.wire_sandbox import NodeStatus
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.code_cache import CodeCache
from pytest_ibmodels.sandbox.execution.executor import JobStatus, Signal
from pytest_ibmodels.sandbox.execution.gpus import VARIABLE, GpuPool, find_gpus
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Resources
from pytest_ibmodels.sandbox.execution.runner import Runner
from pytest_ibmodels.sandbox.execution.served import LocalServed, Served
from pytest_ibmodels.sandbox.settings import GIB, Settings

_LOST = JobStatus("lost", reason="the sandbox that ran it has ended")


class LocalExecutor:
    """Executor of this machine. A job takes as many of the ``max_jobs`` slots as it wants processors."""

    name = "local"

    def __init__(self, settings: Settings) -> None:
        self._max_jobs = settings.max_jobs
        self._signal = Signal()
        self._settings = settings
        self._code = CodeCache(settings.code_cache)
        self._runner = Runner(settings, self._code, self._signal.wake)
        self._gpus = GpuPool(find_gpus())
        self._lock = threading.Lock()
        self._taken: dict[JobRef, float] = {}
        """Slots of the jobs that were started and are not forgotten."""

    def check(self, resources: Resources) -> None:
        """Check that this machine could run a job.

        Raises:
            SandboxError: It could not.
        """
        memory = psutil.virtual_memory().total
        fits = resources.cpus <= self._max_jobs and resources.gpus <= self._gpus.count
        if not fits or (resources.memory or 0) > memory:
            raise SandboxError(
                f"run_train: the job wants {resources}, and this sandbox has {self._max_jobs} cpus (its option "
                f"--max-jobs), {self._gpus.count} gpus and {memory / GIB:.1f} GiB of memory; ask for less"
            )

    def has_room(self, resources: Resources) -> bool:
        """Whether enough slots and GPUs are free."""
        with self._lock:
            return sum(self._taken.values()) + resources.cpus <= self._max_jobs and self._gpus.has_free(resources.gpus)

    def start(self, spec: JobSpec) -> None:
        """Take a job."""
        with self._lock:
            self._taken[spec.ref] = spec.resources.cpus
        if spec.resources.gpus:
            self._gpus.take(spec.ref, spec.resources.gpus)
        self._runner.accept(spec)

    def find(self, spec: JobSpec, node: str) -> None:
        """Do nothing: the process of another server's job has ended with that server."""

    def begin(self, ref: JobRef) -> None:
        """Run a job."""
        gpus = self._gpus.taken_by(ref)
        self._runner.begin(ref, {VARIABLE: ",".join(gpus)} if gpus else {})

    def poll(self, ref: JobRef) -> JobStatus:
        """Return what is known of an attempt."""
        return self._runner.status(ref) or _LOST

    def cancel(self, ref: JobRef, reason: str) -> None:
        """Stop an attempt.

        Raises:
            SandboxError: Its process cannot be killed.
        """
        if not self._runner.stop(ref, reason):
            raise SandboxError(f"job {ref.job_id} was killed, but its process has not ended yet; try again")

    def forget(self, ref: JobRef) -> None:
        """Drop an attempt that has ended, and free its slots."""
        self._runner.forget(ref)
        self._gpus.give_back(ref)
        with self._lock:
            self._taken.pop(ref, None)

    def serve(self, name: str) -> Served:  # noqa: ARG002 - other executors find a model by its name
        """Return a process of this machine, which is not started yet."""
        return LocalServed(self._settings, self._code)

    def wait(self, seconds: float) -> None:
        """Wait for a change."""
        self._signal.wait(seconds)

    def wake(self) -> None:
        """End a wait."""
        self._signal.wake()

    def nodes(self) -> list[NodeStatus]:
        """Return this machine."""
        with self._lock:
            taken = sum(self._taken.values())
        return [
            NodeStatus(
                name=platform.node(),
                state="alive",
                cpus=os.cpu_count() or 1,
                gpus=self._gpus.count,
                memory=psutil.virtual_memory().total,
                running=self._runner.count_active(),
                slots=self._max_jobs,
                free=max(0, math.floor(self._max_jobs - taken)),
            )
        ]

    def close(self) -> None:
        """Kill all jobs."""
        self._runner.close()
