"""Descendants of a process: list them, kill them.

A subreaper (Linux) becomes the parent of every descendant whose own parent has ended. So no descendant escapes it, not
by a session of its own (`setsid`) nor by a second fork.
"""

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_PAUSE_SECONDS = 0.005


def become_subreaper() -> None:
    """Make this process a subreaper, if the system supports it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def child_pids(pid: int) -> list[int]:
    """Children of a process, with those that have ended but were not waited for."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            # A thread may end meanwhile.
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    except OSError:
        found = []
    if not found and not _KERNEL_LISTS_CHILDREN:
        with suppress(psutil.Error):
            found = [child.pid for child in psutil.Process(pid).children()]
    return found


def descendant_pids(pid: int) -> list[int]:
    """Descendants of a process, parents before their children."""
    found = child_pids(pid)
    for child in found:
        # The list grows while it is read.
        found += child_pids(child)
    return found


def kill(pids: list[int]) -> None:
    """Kill processes; those that have ended are ignored."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_own_descendants(seconds: float) -> None:
    """Kill the descendants of this process, a subreaper, and wait for up to ``seconds``."""
    deadline = time.monotonic() + seconds
    while children := descendant_pids(os.getpid()):
        kill(children)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > deadline:
            return
        time.sleep(_PAUSE_SECONDS)


# Depends on a build option of the kernel, which distributions set.
_KERNEL_LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
