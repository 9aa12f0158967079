"""A server whose answers never end: a byte now and then, so that no time-out between two bytes is met."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class DripServer:
    """Listens on loopback, in threads.

    Args:
        first: what it sends at once.
        pause: seconds between two bytes of what follows.
    """

    def __init__(self, first: bytes = b"", pause: float = 0.2) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
        self._first = first or head
        self._pause = pause
        self._ended = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
            self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(self._first)
            while not self._ended.wait(self._pause):
                connection.sendall(b" ")
