"""Limits on connections: their number, and the time to send the head of a request."""

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0
"""Timeout from the start of a connection, or from the first byte of a later request, to the end of the head."""
MAX_CONNECTIONS = 4096
ACCEPTED_AT_ONCE = 32
"""Number of connections that asyncio accepts before it reads any of them."""
_MIN_CONNECTIONS = 16
_TOO_MANY = b'{"status":"ERROR","msg":"UNAVAILABLE: the sandbox has too many connections; retry in a moment"}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_MANY), _TOO_MANY)
)


def max_connections() -> int:
    """Half of the files that this process may open; the other half is left for requests."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else soft // 2
    return max(_MIN_CONNECTIONS, min(allowed, MAX_CONNECTIONS))


class BoundedProtocol(H11Protocol):
    """Protocol of uvicorn that refuses connections over the limit, and closes those that send no request in time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._max = max_connections()
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout, or refuse the connection."""
        super().connection_made(transport)
        if len(self.connections) > self._max:
            transport.write(_REFUSAL)
            transport.close()
        else:
            self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Read on, and start the timeout if the head of a request has begun."""
        super().data_received(data)
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_idle)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_idle(self) -> None:
        self._head_timer = None
        # Otherwise the head is complete: the request runs, or waits for the one before it.
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self.transport.close()
