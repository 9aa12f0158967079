"""GPUs of this machine, handed out to jobs. Nothing here needs CUDA."""

import os
import threading
from pathlib import Path

from pytest_ibmodels.sandbox.execution.job_spec import JobRef

VARIABLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")


def find_gpus() -> list[str]:
    """Find the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    try:
        return [str(index) for index, _gpu in enumerate(_DRIVER.iterdir())]
    except OSError:
        return []


class GpuPool:
    """GPUs, each with one job at most. Thread-safe."""

    def __init__(self, names: list[str]) -> None:
        self._lock = threading.Lock()
        self._free = list(names)
        self._taken: dict[JobRef, list[str]] = {}
        self.count = len(names)

    def has_free(self, count: int) -> bool:
        """Whether so many are free."""
        return count <= len(self._free)

    def take(self, ref: JobRef, count: int) -> list[str]:
        """Take GPUs for a job; the same ones for the same job.

        Raises:
            ValueError: So many are not free.
        """
        with self._lock:
            if ref not in self._taken:
                if count > len(self._free):
                    msg = f"{count} gpus are wanted, and {len(self._free)} of {self.count} are free"
                    raise ValueError(msg)
                self._taken[ref], self._free = self._free[:count], self._free[count:]
            return self._taken[ref]

    def taken_by(self, ref: JobRef) -> list[str]:
        """Return the GPUs of a job."""
        return self._taken.get(ref, [])

    def give_back(self, ref: JobRef) -> None:
        """Free the GPUs of a job."""
        with self._lock:
            self._free += self._taken.pop(ref, [])
