"""Status of a server: its version, machines and queue."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from pytest_ibmodels.instabase.wire_sandbox import NodeStatus, SandboxStatus
from pytest_ibmodels.sandbox.execution.job_queue import JobQueue
from pytest_ibmodels.sandbox.settings import Settings

_PACKAGE = "pytest-ibmodels"


class ServerStatus:
    """Collects the status of a server that runs jobs on its own machine."""

    def __init__(self, settings: Settings, queue: JobQueue) -> None:
        self._max_jobs = settings.max_jobs
        self._queue = queue

    def collect(self) -> SandboxStatus:
        waiting, running = self._queue.counts()
        node = NodeStatus(
            name=platform.node(),
            state="alive",
            cpus=os.cpu_count() or 1,
            gpus=_count_gpus(),
            memory=_memory_bytes(),
            running=running,
            slots=self._max_jobs,
            free=max(0, self._max_jobs - running),
        )
        return SandboxStatus(
            status="OK",
            version=version(_PACKAGE),
            executor="local",
            nodes=[node],
            queue=waiting,
            max_jobs=self._max_jobs,
        )


def _count_gpus() -> int:
    """Number of NVIDIA GPUs whose device files this machine has."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
