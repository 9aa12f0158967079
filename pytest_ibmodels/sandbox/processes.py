"""Processes for pushed code: forked from a preloaded server, one process group each, gone when their time is over.

The pushed code is never trusted with more than a pipe of JSON messages: the server unpickles nothing it sends.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.forkserver import ensure_running
from typing import Any

import psutil

from pytest_ibmodels.sandbox.channel import receive_json, send_json

_context = multiprocessing.get_context("forkserver")
_HOSTS = ["pytest_ibmodels.sandbox.jobhost", "pytest_ibmodels.sandbox.modelhost"]
_context.set_forkserver_preload(_HOSTS)
# multiprocessing looks at all its children whenever one is started; two threads that read an exit code at once lose it.
_bookkeeping = threading.Lock()
_TABLE_SECONDS = 0.4


class _Table:
    """Who started whom on this machine. Hundreds of jobs that are measured share one reading of it."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._read = float("-inf")
        self._children: dict[int, list[psutil.Process]] = {}

    def descendants(self, pid: int) -> list[psutil.Process]:
        """All processes below one, as they were some tenths of a second ago at most."""
        with self._reading:
            if time.monotonic() - self._read > _TABLE_SECONDS:
                self._children = self._read_children()
                self._read = time.monotonic()
            children = self._children
        found, parents = [], [pid]
        while parents:
            some = children.get(parents.pop(), [])
            found += some
            parents += [process.pid for process in some]
        return found

    @staticmethod
    def _read_children() -> dict[int, list[psutil.Process]]:
        children = defaultdict(list)
        for process in psutil.process_iter(["ppid"]):
            children[process.info["ppid"]].append(process)
        return children


_table = _Table()


def warm_up(*, preload: bool) -> None:
    """Start the process that others are forked from; returns at once, its imports go on meanwhile."""
    if preload:
        _context.set_forkserver_preload(["pytest_ibmodels.sandbox.preload"])
    ensure_running()


class ChildProcess:
    """One process that runs ``target(channel, lifeline, *args)``, a module-level function.

    ``channel`` carries JSON both ways; ``lifeline`` reaches its end when this server is gone, however it went.
    """

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self.channel, theirs = _context.Pipe()
        life, self._lifeline = _context.Pipe(duplex=False)
        self._process = _context.Process(target=target, args=(theirs, life, *args))
        with _bookkeeping:
            self._process.start()
        theirs.close()
        life.close()
        self.pid = self._process.pid or 0
        self._handle = _handle(self.pid)
        self.final_exit_code: int | None = None
        """Set by :meth:`close`: how the process ended, if it did so before it was killed."""
        self._silent = False
        """Whether the process has closed its end of the channel."""

    def wait(self, seconds: float) -> None:
        """Return when a message is there, the process has ended, or the time is over."""
        wait([self._process.sentinel, *([] if self._silent else [self.channel])], timeout=seconds)

    def wait_for_exit(self, seconds: float) -> None:
        wait([self._process.sentinel], timeout=seconds)

    def send(self, message: dict[str, Any]) -> None:
        send_json(self.channel, message)

    def messages(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """All messages that are there, or come first within the time.

        Raises:
            EOFError: if the process has closed its end and nothing is left to read.
        """
        found: list[dict[str, Any]] = []
        while not self._silent and self.channel.poll(0.0 if found else seconds):
            try:
                found.append(receive_json(self.channel))
            except (EOFError, OSError):
                self._silent = True
                if found:
                    break
                raise EOFError from None
        return found

    def has_ended(self) -> bool:
        """Whether the process runs no more; asks no other thread to wait, as :meth:`exit_code` does."""
        return bool(wait([self._process.sentinel], timeout=0))

    def exit_code(self) -> int | None:
        """The exit code, the negative number of the signal that killed it, or None while it runs."""
        with _bookkeeping:
            return self._process.exitcode

    def resident_bytes(self) -> int:
        """Memory of the process and all its descendants; pages that they share count for each."""
        total = 0
        for process in [*([self._handle] if self._handle else []), *_table.descendants(self.pid)]:
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def kill(self) -> None:
        """Kill the process and everything that it started, also what has left its process group."""
        if self.has_ended():
            # What it had started has another parent by now; only what stayed in its group can be found.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            return
        for _attempt in range(5):
            family = self._family()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            for process in family:
                with suppress(psutil.Error):
                    process.kill()
            _gone, alive = psutil.wait_procs(family[1:], timeout=0.2)
            if not alive:
                return

    def say_goodbye(self, seconds: float = 1.0) -> None:
        """Close the channel, which asks the process to end, and give it some time to do so."""
        self.channel.close()
        self.wait_for_exit(seconds)

    def close(self) -> None:
        """Kill what is left, wait for its end, and free the pipes."""
        self.kill()
        self.wait_for_exit(5)
        self.final_exit_code = self.exit_code()
        self.channel.close()
        self._lifeline.close()

    def _family(self) -> list[psutil.Process]:
        if self._handle is None:
            return []
        with suppress(psutil.Error):
            return [self._handle, *self._handle.children(recursive=True)]
        return [self._handle]


def kill_all() -> None:
    """Kill every process that this one has started, and theirs: for the end of the server."""
    with suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                process.kill()


def how_it_ended(exit_code: int | None) -> str:
    """A clause for messages: how a process that should not have ended did."""
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        hint = " (often the machine ran out of memory)" if -exit_code == signal.SIGKILL else ""
        return f"was killed by {name}{hint}"
    return f"ended by itself with exit code {exit_code}"


def _handle(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None
