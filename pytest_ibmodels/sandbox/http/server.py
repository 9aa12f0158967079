"""Server process: listening, announcement and shutdown."""

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
# Longer than a client waits between two polls of a job.
_KEEP_ALIVE_SECONDS = 60
_BACKLOG = 512


class Server(uvicorn.Server):
    """uvicorn server that prints its URL, and stops on SIGTERM, SIGINT or, as an option, the end of standard input."""

    def __init__(
        self,
        app: FastAPI,
        listener: socket.socket,
        *,
        announce: bool,
        exit_with_parent: bool,
        cleanup_dir: CleanupDir | None = None,
        sign_in_path: str = "",
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                backlog=ACCEPTED_AT_ONCE,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
            )
        )
        self._app = app
        self._listener = listener
        self._announce = announce
        self._exit_with_parent = exit_with_parent
        self._cleanup_dir = cleanup_dir
        self._sign_in_path = sign_in_path
        self._stopping = False
        self._is_announcement_lost = False

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on signals, with exit code 0."""
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
                # A second signal must not interrupt the shutdown.
                signal.signal(number, signal.SIG_IGN)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the URL."""
        await super().startup(sockets)
        # asyncio has set the backlog to the number of connections accepted at once.
        self._listener.listen(_BACKLOG)
        if self._announce:
            portal = {"portal": self.url + self._sign_in_path} if self._sign_in_path else {}
            line = json.dumps({"url": self.url, "pid": os.getpid(), **portal})
        else:
            line = f"The sandbox answers at {self.url} (process {os.getpid()}); Ctrl-C stops it."
            if self._sign_in_path:
                line += f"\nSign in at {self.url}{self._sign_in_path}, once and within ten minutes."
        if not _print_line(line) and self._announce:
            self._is_announcement_lost = True
            self.stop()

    def stop(self) -> None:
        """Stop soon: running requests get a moment, then the process exits."""
        if not self._stopping:
            self._stopping = self.should_exit = True
            # Answers that would never end look at this.
            self._app.state.is_stopping = True
            threading.Thread(target=self._force_exit, name="exit", daemon=True).start()

    def run_until_stopped(self) -> None:
        """Serve until stopped.

        Raises:
            StartError: the announcement could not be printed.
        """
        self.run(sockets=[self._listener])
        if self._is_announcement_lost:
            raise StartError("--announce: standard output is closed, or cannot be written to")

    def _wait_for_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(OSError, AttributeError, ValueError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        loop.call_soon_threadsafe(self.stop)

    def _force_exit(self) -> None:
        # Threads that wait for a model or unpack a file must not delay the exit: the store is always consistent, and
        # the next start fails unfinished jobs.
        threading.Event().wait(_STOP_SECONDS)
        kill_all()
        if self._cleanup_dir:
            self._cleanup_dir.remove()
        os._exit(StartError.exit_code if self._is_announcement_lost else 0)


def _print_line(line: str) -> bool:
    """Print a line; return whether standard output took it."""
    if sys.stdout is None:
        return False
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        # Its buffer would be flushed again at exit, and fail then.
        sys.stdout = None  # as in a process without one
        return False
    return True


def listen(host: str, port: int) -> socket.socket:
    """Create a listening socket.

    Raises:
        StartError: the address cannot be used.
    """
    if not host.strip():
        # Sockets take an empty host for all addresses of the machine.
        raise StartError("cannot listen: the host is empty")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # asyncio sets this only on sockets that name their protocol; without it the body of every answer waits 40 ms
        # for an acknowledgement of the head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, OverflowError) as raised:
        # For an unknown host, `create_server` hides the error of the name resolution.
        error = raised.__context__ if isinstance(raised.__context__, socket.gaierror) else raised
        raise StartError(f"cannot listen on {host} port {port}: {_reason(error)}{_hint(host, port, error)}") from raised
    return listener


def _reason(error: OSError | OverflowError) -> object:
    if isinstance(error, socket.gaierror):  # its numbers are not errno
        return error.strerror or error
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error


def _hint(host: str, port: int, error: OSError | OverflowError) -> str:
    if host.startswith("["):
        return "; write an IPv6 address without brackets"
    if isinstance(error, socket.gaierror):
        is_with_port = host.count(":") == 1
        return "; the port has an option of its own, --port" if is_with_port else "; give an address of this machine"
    return "; --port 0 takes a free one" if port else ""
