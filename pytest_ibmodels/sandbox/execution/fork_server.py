"""Fork servers: processes that have made imports once, and are forked for each piece of pushed code.

multiprocessing gives a process one fork server. A sandbox has two, one of which has imported torch, so that code
without torch neither waits for that import nor pays for it. Each environment of requirements gets one of its own.
"""

import io
import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import forkserver, popen_forkserver, reduction, spawn, util
from multiprocessing.context import ForkServerProcess, set_spawning_popen
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.descendants import child_pids, descendant_pids, kill

logger = logging.getLogger(__name__)

_GUARD = "pytest_ibmodels.sandbox.execution.forkserver_guard"
_WORKERS = ("pytest_ibmodels.sandbox.execution.training_worker", "pytest_ibmodels.sandbox.execution.model_worker")
_PRELOAD = "pytest_ibmodels.sandbox.execution.preload"
_SITE_PACKAGES = "lib/python*/site-packages"
_launching = threading.Lock()
"""Held while the Python of the next fork server is another one."""
_adding = threading.Lock()
_END_SECONDS = 5.0
_PAUSE_SECONDS = 0.005


class ForkedProcess(popen_forkserver.Popen):
    """A process forked by the given server; :meth:`exit_code` may be called from any thread."""

    sentinel: int

    def __init__(self, process: ForkServerProcess, server: forkserver.ForkServer, packages: Sequence[str]) -> None:
        """``packages`` are folders that the process imports from before all others."""
        self._server = server
        self._packages = packages
        self._reading = threading.Lock()
        super().__init__(process)

    def _launch(self, process: Any) -> None:
        # As in the base class, which asks the only fork server that it knows.
        message = io.BytesIO()
        set_spawning_popen(self)
        try:
            prepared: dict[str, Any] = spawn.get_preparation_data(process.name)
            # The program that runs in this process is none of its business, and may be slow to import.
            kept = {name: value for name, value in prepared.items() if not name.startswith("init_main")}
            reduction.dump({**kept, "sys_path": [*self._packages, *prepared["sys_path"]]}, message)
            reduction.dump(process, message)
        finally:
            set_spawning_popen(None)
        self.sentinel, writer = self._server.connect_to_new_process(self._fds)  # type: ignore[attr-defined]
        # While this end is open, the process knows that its parent lives.
        self.finalizer = util.Finalize(self, _close, (os.dup(writer), self.sentinel))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(message.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)

    def exit_code(self) -> int | None:
        """Exit code, the negative number of the signal that killed the process, or None while it runs."""
        # Of two threads that read it at once, one would lose it.
        with self._reading:
            code: int | None = self.poll()
            return code


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class _OtherPython(forkserver.ForkServer):
    """multiprocessing's fork server, run by another Python than this process."""

    def __init__(self, python: Path) -> None:
        super().__init__()
        self._python = python

    def ensure_running(self) -> None:
        with _launching:
            usual = spawn.get_executable()
            spawn.set_executable(str(self._python))
            try:
                super().ensure_running()
            finally:
                spawn.set_executable(usual)


class ForkServer:
    """A fork server, started with its first process or by :meth:`warm_up`."""

    def __init__(self, modules: Sequence[str], python: Path | None = None) -> None:
        """``modules`` are imported once, ahead of the first process; ``python`` is that of a virtual environment."""
        self._server = forkserver.ForkServer() if python is None else _OtherPython(python)
        self._packages = [] if python is None else [str(path) for path in python.parents[1].glob(_SITE_PACKAGES)]
        self._server.set_forkserver_preload(list(modules))
        self._starting = threading.Lock()
        """Held while a process is started, which takes until the modules are imported; guards ``_live``."""
        self._live: set[int] = set()
        """Processes that were started and are not closed."""
        self._last_used = 0.0

    @property
    def pid(self) -> int | None:
        pid: int | None = self._server._forkserver_pid  # type: ignore[attr-defined]  # noqa: SLF001 - no public name
        return pid

    def warm_up(self) -> None:
        """Start the server without waiting for its imports."""
        self._server.ensure_running()

    def start(self, process: ForkServerProcess) -> ForkedProcess:
        """Run a process that was not started in a fork of the server."""
        with self._starting:
            forked = ForkedProcess(process, self._server, self._packages)
            self._live.add(forked.pid)
            self._last_used = time.monotonic()
            return forked

    def forget(self, pid: int) -> None:
        """Forget a process that has ended, and kill what it has left."""
        with self._starting:
            self._live.discard(pid)
            self._last_used = time.monotonic()
        self.kill_orphans()

    @property
    def is_busy(self) -> bool:
        """True if a process that it started is not closed."""
        return bool(self._live)

    def stop_if_idle(self, seconds: float) -> None:
        """End the server if it had no process for so many seconds; the next process starts it again."""
        with self._starting:
            if self.pid is None or self._live or time.monotonic() - self._last_used < seconds:
                return
            kill([self.pid])
            # Its exit status stays, because multiprocessing reads it at the next start.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def kill_orphans(self, *, wait: bool = True) -> None:
        """Kill the descendants of processes that have ended, and wait for their end.

        Orphans are the children of the fork server that are not live processes. If ``wait`` is false, they are left for
        the next time while a process is being started.
        """
        deadline = time.monotonic() + _END_SECONDS
        while orphans := self._orphans(wait=wait):
            kill([pid for orphan in orphans for pid in (orphan, *descendant_pids(orphan))])
            if time.monotonic() > deadline:
                logger.warning("orphans of pushed code cannot be killed: %s", orphans)
                return
            time.sleep(_PAUSE_SECONDS)

    def _orphans(self, *, wait: bool) -> list[int]:
        if not self._starting.acquire(blocking=wait):
            return []
        try:
            return [] if self.pid is None else [pid for pid in child_pids(self.pid) if pid not in self._live]
        finally:
            self._starting.release()


SMALL = ForkServer([_GUARD, *_WORKERS])
"""Server for code that needs no training libraries."""
LARGE = ForkServer([_GUARD, _PRELOAD])
"""Server that has imported torch and the other training libraries."""
_environments: dict[Path, ForkServer] = {}


def environment_server(python: Path) -> ForkServer:
    """Return the server of a virtual environment by its Python."""
    with _adding:
        return _environments.setdefault(python, ForkServer([_GUARD, *_WORKERS], python))


def environment_servers() -> list[ForkServer]:
    """Return the servers of virtual environments."""
    with _adding:
        return list(_environments.values())


def servers() -> list[ForkServer]:
    """Return all servers."""
    return [SMALL, LARGE, *environment_servers()]
