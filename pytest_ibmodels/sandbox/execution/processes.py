"""Child processes for pushed code, forked from one of the fork servers.

Pushed code is not trusted: it sends JSON through a pipe, and the server unpickles nothing.
"""

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any

import psutil

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.channel import receive_json, send_json
from pytest_ibmodels.sandbox.execution.descendants import descendant_pids, kill
from pytest_ibmodels.sandbox.execution.fork_server import LARGE, SMALL, environment_server, environment_servers, servers

_context = multiprocessing.get_context("forkserver")
_END_SECONDS = 5.0
_EXIT_SECONDS = 2.0
_MAX_FOLDER_LENGTH = 107 - len("/pymp-12345678/listener-12345678")
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdtemp creates a folder there
_KILL_ALL_SECONDS = 1.0
_PAUSE_SECONDS = 0.005


def prepare_sockets() -> None:
    """Choose the folder of the fork server's sockets: a short one if TMPDIR is too long for a socket's path.

    Raises:
        StartError: No folder is short enough and writable.
    """
    usual = tempfile.gettempdir()
    for folder in dict.fromkeys((usual, *_SHORT_FOLDERS)):
        if len(os.fsencode(folder)) > _MAX_FOLDER_LENGTH:
            continue
        tempfile.tempdir = folder
        try:
            # multiprocessing creates it once and keeps it.
            get_temp_dir()
        except OSError:
            continue
        finally:
            tempfile.tempdir = usual
        return
    msg = (
        f"the folder of temporary files, '{usual}', cannot hold sockets: its name is longer than {_MAX_FOLDER_LENGTH} "
        f"characters, or it cannot be written to, as {', '.join(_SHORT_FOLDERS)}; set TMPDIR to another folder"
    )
    raise StartError(msg)


def warm_up(*, with_libraries: bool) -> None:
    """Start the fork server of the first jobs without waiting for its imports."""
    (LARGE if with_libraries else SMALL).warm_up()


class ProcessGoneError(Exception):
    """A process does not answer; the text is a clause such as "was killed by SIGKILL"."""


class ChildProcess:
    """A process that runs ``target(channel, parent_pipe, *args)``, a module-level function.

    ``channel`` carries JSON in both directions; ``parent_pipe`` reaches its end when this server is gone. With
    ``with_libraries``, the process has imported torch and the like. ``python`` is that of a virtual environment, which
    has imported nothing.
    """

    def __init__(
        self, target: Callable[..., None], *args: Any, with_libraries: bool = False, python: Path | None = None
    ) -> None:
        self.channel, child_channel = _context.Pipe()
        child_end, self._parent_pipe = _context.Pipe(duplex=False)
        self._server = environment_server(python) if python else LARGE if with_libraries else SMALL
        try:
            process = _context.Process(target=target, args=(child_channel, child_end, *args))
            self._process = self._server.start(process)
        except BaseException:
            self.channel.close()
            self._parent_pipe.close()
            raise
        finally:
            child_channel.close()
            child_end.close()
        self.pid = self._process.pid
        self._handle = _handle(self.pid)
        self.final_exit_code: int | None = None
        """Exit code, set by :meth:`close`."""
        self._is_silent = False
        """True once the process has closed its end of the channel."""

    def wait(self, seconds: float) -> None:
        """Wait until a message has arrived, the process has ended, or ``seconds`` have passed."""
        wait([self._process.sentinel, *([] if self._is_silent else [self.channel])], timeout=seconds)

    def wait_for_exit(self, seconds: float) -> None:
        wait([self._process.sentinel], timeout=seconds)

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            ProcessGoneError: As :meth:`answer`.
        """
        self._send(message)
        return self.answer(seconds)

    def ask_list(self, requests: list[dict[str, Any]], seconds: float) -> Iterator[dict[str, Any]]:
        """Send a list of requests and yield the answers in order, each within ``seconds`` of the one before.

        Raises:
            ProcessGoneError: As :meth:`answer`.
        """
        self._send({"list": requests})
        missing = len(requests)
        while missing > 0:
            answers = self._answers(seconds)
            yield from answers
            missing -= len(answers)

    def answer(self, seconds: float) -> dict[str, Any]:
        """Wait for one message.

        Raises:
            ProcessGoneError: The process has ended, or no message arrived within ``seconds``.
        """
        return self._answers(seconds)[0]

    def _send(self, message: dict[str, Any]) -> None:
        try:
            send_json(self.channel, message)
        except OSError:
            raise self._gone() from None

    def _answers(self, seconds: float) -> list[dict[str, Any]]:
        try:
            messages = self.messages(seconds)
        except EOFError:
            raise self._gone() from None
        if not messages:
            msg = f"did not answer within {seconds:g} s and was killed"
            raise ProcessGoneError(msg)
        return messages

    def _gone(self) -> ProcessGoneError:
        self.wait_for_exit(_EXIT_SECONDS)
        return ProcessGoneError(how_it_ended(self.exit_code()))

    def messages(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """All messages that have arrived; if there are none, wait up to ``seconds`` for the first.

        Raises:
            EOFError: The process has closed its end and nothing is left to read.
        """
        found: list[dict[str, Any]] = []
        while not self._is_silent and self.channel.poll(0.0 if found else seconds):
            try:
                found.append(receive_json(self.channel))
            except (EOFError, OSError):
                self._is_silent = True
                if found:
                    break
                raise EOFError from None
        return found

    def has_ended(self) -> bool:
        """True if the process has ended; takes no lock, unlike :meth:`exit_code`."""
        return bool(wait([self._process.sentinel], timeout=0))

    def exit_code(self) -> int | None:
        """Exit code, the negative number of the signal that killed the process, or None while it runs."""
        return self._process.exit_code()

    def memory_bytes(self, limit: int) -> int:
        """Memory of the process and its descendants, in bytes; shared pages count once.

        This is PSS, which splits a shared page among its processes, or RSS, which is cheaper to read, if the process
        has no descendants and is within ``limit``.
        """
        family = [self.pid, *descendant_pids(self.pid)]
        resident = _total(family, _resident)
        if resident <= limit and len(family) == 1:
            return resident
        used = min(resident, _total(family, _proportional))
        # If a process ended between the readings, the pages it shared were counted twice.
        return used if used <= limit else min(used, _total(family, _proportional))

    def kill(self) -> None:
        """Kill the process and its descendants; :meth:`close` finds those that were just being forked."""
        if self.has_ended():
            return
        below = descendant_pids(self.pid)
        if self._handle is not None:
            with suppress(psutil.Error):
                self._handle.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        kill(below)

    def request_exit(self, seconds: float = 1.0) -> None:
        """Close the channel, which ends a serve loop, and wait up to ``seconds`` for the process to end."""
        self.channel.close()
        self.wait_for_exit(seconds)

    def close(self) -> None:
        """Kill the process and its descendants, wait for their end, and close the pipes."""
        self.kill()
        self.wait_for_exit(_END_SECONDS)
        self.final_exit_code = self.exit_code()
        self.channel.close()
        self._parent_pipe.close()
        self._server.forget(self.pid)


def kill_orphans() -> None:
    """Kill what ended processes have left, except in a fork server that is just starting a process."""
    for server in servers():
        server.kill_orphans(wait=False)


def stop_idle_environments(seconds: float) -> None:
    """End the fork servers of virtual environments that had no process for so many seconds."""
    for server in environment_servers():
        server.stop_if_idle(seconds)


def is_environment_busy(python: Path) -> bool:
    """True if a process of the virtual environment with this Python is not closed."""
    return environment_server(python).is_busy


def kill_all() -> None:
    """Kill all descendants of this process when the server ends."""
    fork_servers = [server.pid for server in servers() if server.pid is not None]
    deadline = time.monotonic() + _KILL_ALL_SECONDS
    # The fork servers go last: they are the parents of all orphans.
    while (below := [pid for server in fork_servers for pid in descendant_pids(server)]) and (
        time.monotonic() < deadline
    ):
        kill(below)
        time.sleep(_PAUSE_SECONDS)
    kill(descendant_pids(os.getpid()))


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
    """Clause for messages that tells how a process ended unexpectedly."""
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
