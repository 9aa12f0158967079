"""Serving the application until it is told to stop, and leaving nothing behind."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.processes import kill_all
from pytest_ibmodels.sandbox.http.connections import ACCEPTED_AT_ONCE, BoundedProtocol
from pytest_ibmodels.sandbox.storage.cleanup import CleanupDir

_STOP_SECONDS = 1.6
# For how long a connection may be idle: longer than between two looks at a job.
_KEPT_SECONDS = 60
_BACKLOG = 512


class Server(uvicorn.Server):
    """uvicorn, which announces itself, and stops on SIGTERM, SIGINT or, if asked to, the end of its standard input."""

    def __init__(
        self,
        app: FastAPI,
        listener: socket.socket,
        *,
        announce: bool,
        exit_with_parent: bool,
        cleanup_dir: CleanupDir | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                backlog=ACCEPTED_AT_ONCE,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEPT_SECONDS,
                timeout_graceful_shutdown=1,
            )
        )
        self._listener = listener
        self._announce = announce
        self._exit_with_parent = exit_with_parent
        self._cleanup_dir = cleanup_dir
        self._stopping = False
        self._is_unheard = False

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A signal is a wish to stop, not a way to die: the exit code is 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        if self._exit_with_parent:
            threading.Thread(target=self._wait_for_parent, args=(loop,), name="parent", daemon=True).start()
        try:
            yield
        finally:
            self.stop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
                # The end is near already; a second signal must not keep it from being in good order.
                signal.signal(number, signal.SIG_IGN)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say where."""
        await super().startup(sockets)
        # As many may wait as before; asyncio made it the number that is accepted at once.
        self._listener.listen(_BACKLOG)
        if self._announce:
            line = json.dumps({"url": self.url, "pid": os.getpid()})
        else:
            line = f"The sandbox answers at {self.url} (process {os.getpid()}); Ctrl-C stops it."
        if not _is_said(line) and self._announce:
            self._is_unheard = True
            self.stop()

    def stop(self) -> None:
        """End soon: requests under way get a moment, then this process ends whatever still runs."""
        if not self._stopping:
            self._stopping = self.should_exit = True
            threading.Thread(target=self._end_anyway, name="end", daemon=True).start()

    def run_until_stopped(self) -> None:
        """Serve; returns when everything is closed.

        Raises:
            StartError: nobody could be told where the sandbox answers, as it was asked to.
        """
        self.run(sockets=[self._listener])
        if self._is_unheard:
            msg = "--announce: standard output is closed, or cannot be written to"
            raise StartError(msg)

    def _wait_for_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(OSError, AttributeError, ValueError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        loop.call_soon_threadsafe(self.stop)

    def _end_anyway(self) -> None:
        # A thread that waits for a model, or unpacks a large file, must not keep the process: the store is consistent
        # at any moment, and the next start ends what was left.
        threading.Event().wait(_STOP_SECONDS)
        kill_all()
        if self._cleanup_dir:
            self._cleanup_dir.remove()
        os._exit(StartError.exit_code if self._is_unheard else 0)


def _is_said(line: str) -> bool:
    """Whether a line could be written to standard output."""
    if sys.stdout is None:
        return False
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        # What is in its buffer would be tried again at the end, and fail then.
        sys.stdout = None  # as in a process without one
        return False
    return True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StartError: if the address cannot be had.
    """
    if not host.strip():
        # Sockets take it for all addresses of the machine.
        msg = "cannot listen: the host is empty"
        raise StartError(msg)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # asyncio sets this only on sockets that name their protocol; without it every answer waits 40 ms for an
        # acknowledgement between its head and its body.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, OverflowError) as raised:
        # Where a name leads nowhere, `create_server` hides the error that says so.
        error = raised.__context__ if isinstance(raised.__context__, socket.gaierror) else raised
        msg = f"cannot listen on {host} port {port}: {_reason(error)}{_hint(host, port, error)}"
        raise StartError(msg) from raised
    return listener


def _reason(error: OSError | OverflowError) -> object:
    if isinstance(error, socket.gaierror):  # its numbers are none of the system's
        return error.strerror or error
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error


def _hint(host: str, port: int, error: OSError | OverflowError) -> str:
    if host.startswith("["):
        return "; write an IPv6 address without brackets"
    if isinstance(error, socket.gaierror):
        is_with_port = host.count(":") == 1
        return "; the port has an option of its own, --port" if is_with_port else "; give an address of this machine"
    return "; --port 0 takes a free one" if port else ""
