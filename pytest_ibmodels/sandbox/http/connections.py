"""Bounds on connections: how many there are, and how long one may take to send the head of a request."""

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0
"""From the start of a connection, or from the first byte of a further request, to the end of its head."""
MOST_CONNECTIONS = 4096
ACCEPTED_AT_ONCE = 32
"""asyncio accepts so many connections before it looks at any of them."""
_LEAST_CONNECTIONS = 16
_TOO_MANY = b'{"status":"ERROR","msg":"UNAVAILABLE: the sandbox has too many connections; try again in a moment"}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_MANY), _TOO_MANY)
)


def most_connections() -> int:
    """Half of the files that this process may have open: the other half is for what requests need."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft // 2
    return max(_LEAST_CONNECTIONS, min(allowed, MOST_CONNECTIONS))


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, which refuses connections over the bound, and closes those that send no request."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most = most_connections()
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, or refuse to."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.write(_REFUSAL)
            transport.close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Read on; a request whose head has begun has to end it in time."""
        super().data_received(data)
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._head_timer is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        # A head that is complete by now is at work, or waits for the one before it.
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self.transport.close()
