"""Processes for pushed code: forked from a preloaded server, one process group each, gone when their time is over.

The pushed code is never trusted with more than a pipe of JSON messages: the server unpickles nothing it sends.
"""

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.forkserver import _forkserver, ensure_running
from multiprocessing.util import get_temp_dir
from typing import Any

import psutil

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.channel import receive_json, send_json
from pytest_ibmodels.sandbox.execution.descendants import (
    child_pids,
    descendant_pids,
    kill,
)

logger = logging.getLogger(__name__)

_context = multiprocessing.get_context("forkserver")
_GUARD = "pytest_ibmodels.sandbox.execution.forkserver_guard"
_context.set_forkserver_preload(
    [_GUARD, "pytest_ibmodels.sandbox.execution.training_worker", "pytest_ibmodels.sandbox.execution.model_worker"]
)
# multiprocessing looks at all its children whenever one is started; two threads that read an exit code at once lose it.
_bookkeeping = threading.Lock()

_live: set[int] = set()
"""The processes that were started and not closed yet. Changed and read with ``_bookkeeping`` held."""
_END_SECONDS = 5.0
_LONGEST_FOLDER = 107 - len("/pymp-12345678/listener-12345678")
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a folder of its own is made there
_LAST_SECONDS = 1.0
_PAUSE_SECONDS = 0.005


def prepare_sockets() -> None:
    """Choose a folder for the sockets that processes are asked for by: a short one where TMPDIR is too long for them.

    Raises:
        StartError: if there is none.
    """
    usual = tempfile.gettempdir()
    for folder in dict.fromkeys((usual, *_SHORT_FOLDERS)):
        if len(os.fsencode(folder)) > _LONGEST_FOLDER:
            continue
        tempfile.tempdir = folder
        try:
            # It is made once, and given to all processes that are started.
            get_temp_dir()
        except OSError:
            continue
        finally:
            tempfile.tempdir = usual
        return
    msg = (
        f"the folder of temporary files, '{usual}', cannot hold sockets: its name is longer than {_LONGEST_FOLDER} "
        f"characters, or it cannot be written to, as {', '.join(_SHORT_FOLDERS)}; set TMPDIR to another folder"
    )
    raise StartError(msg)


def warm_up(*, preload: bool) -> None:
    """Start the process that others are forked from; returns at once, its imports go on meanwhile."""
    if preload:
        _context.set_forkserver_preload([_GUARD, "pytest_ibmodels.sandbox.execution.preload"])
    ensure_running()


class ChildProcess:
    """One process that runs ``target(channel, parent_pipe, *args)``, a module-level function.

    ``channel`` carries JSON both ways; ``parent_pipe`` reaches its end when this server is gone, however it went.
    """

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self.channel, theirs = _context.Pipe()
        life, self._lifeline = _context.Pipe(duplex=False)
        self._process = _context.Process(target=target, args=(theirs, life, *args))
        try:
            with _bookkeeping:
                self._process.start()
                self.pid = self._process.pid or 0
                _live.add(self.pid)
        except BaseException:
            self.channel.close()
            self._lifeline.close()
            raise
        finally:
            theirs.close()
            life.close()
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

    def memory_bytes(self, limit: int) -> int:
        """Memory of the process and everything below it; pages that several of them share count once.

        This is PSS, in which each process has its part of a shared page. Of one process alone that is within ``limit``
        it is RSS, which is cheaper to read.
        """
        family = [self.pid, *descendant_pids(self.pid)]
        resident = _total(family, _resident)
        if resident <= limit and len(family) == 1:
            return resident
        used = min(resident, _total(family, _proportional))
        # Of two that share pages one may have ended between the readings, so that both were counted whole.
        return used if used <= limit else min(used, _total(family, _proportional))

    def kill(self) -> None:
        """Kill the process and everything below it; what escapes for a moment is found by :meth:`close`."""
        if self.has_ended():
            return
        below = descendant_pids(self.pid)
        if self._handle is not None:
            with suppress(psutil.Error):
                self._handle.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        kill(below)

    def say_goodbye(self, seconds: float = 1.0) -> None:
        """Close the channel, which asks the process to end, and give it some time to do so."""
        self.channel.close()
        self.wait_for_exit(seconds)

    def close(self) -> None:
        """Kill what is left, also what the process had started before it ended, wait for the end, free the pipes."""
        self.kill()
        self.wait_for_exit(_END_SECONDS)
        self.final_exit_code = self.exit_code()
        self.channel.close()
        self._lifeline.close()
        with _bookkeeping:
            _live.discard(self.pid)
        kill_orphans()


def kill_orphans() -> None:
    """Kill everything that was started by processes that have ended since, and wait for the end of it.

    It has the process that all are forked from as its parent by now, as the only ones beside the live processes.
    """
    deadline = time.monotonic() + _END_SECONDS
    while orphans := _orphans():
        kill([pid for orphan in orphans for pid in (orphan, *descendant_pids(orphan))])
        if time.monotonic() > deadline:
            logger.warning("processes that training code has left cannot be ended: %s", orphans)
            return
        time.sleep(_PAUSE_SECONDS)


def kill_all() -> None:
    """Kill every process that this one has started, and theirs: for the end of the server."""
    forking = _forking_pid()
    deadline = time.monotonic() + _LAST_SECONDS
    # Before the process that they are forked from: it holds together what they have started.
    while forking is not None and (below := descendant_pids(forking)) and time.monotonic() < deadline:
        kill(below)
        time.sleep(_PAUSE_SECONDS)
    kill(descendant_pids(os.getpid()))


def _orphans() -> list[int]:
    with _bookkeeping:
        forking = _forking_pid()
        return [] if forking is None else [pid for pid in child_pids(forking) if pid not in _live]


def _forking_pid() -> int | None:
    pid: int | None = _forkserver._forkserver_pid  # type: ignore[attr-defined]  # noqa: SLF001 - said nowhere else
    return pid


def _total(pids: list[int], measure: Callable[[psutil.Process], int]) -> int:
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            total += measure(psutil.Process(pid))
    return total


def _resident(process: psutil.Process) -> int:
    resident: int = process.memory_info().rss
    return resident


def _proportional(process: psutil.Process) -> int:
    try:
        proportional: int = process.memory_full_info().pss
    except psutil.AccessDenied:
        return _resident(process)
    return proportional


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
