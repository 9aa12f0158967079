"""Lease of a machine on its jobs: a deadline in a file, moved on while the cluster confirms that the machine is alive.

A machine that the cluster has given up, because it was frozen or cut off, finds its lease expired when it goes on. Its
jobs then end before they write, since the cluster may have started them again elsewhere.
"""

import os
import struct
import time
from pathlib import Path

_FORMAT = struct.Struct("d")
# Goes on while the machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_clock() -> float:
    """Return the time of leases in seconds, the same for all processes of the machine."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """A lease, read by the processes of jobs and written by the one that runs them."""

    def __init__(self, file: Path, *, writable: bool = False) -> None:
        """Open a lease; a ``writable`` one is made anew, and has expired.

        Raises:
            OSError: The file cannot be opened.
        """
        self.file = file
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC if writable else os.O_RDONLY
        self._number = os.open(file, flags | os.O_CLOEXEC, 0o600)
        if writable:
            self.extend(float("-inf"))

    def extend(self, deadline: float) -> None:
        """Move the deadline, on the clock of :func:`lease_clock`."""
        os.pwrite(self._number, _FORMAT.pack(deadline), 0)

    @property
    def has_expired(self) -> bool:
        (deadline,) = _FORMAT.unpack(os.pread(self._number, _FORMAT.size, 0))
        return bool(lease_clock() > deadline)
