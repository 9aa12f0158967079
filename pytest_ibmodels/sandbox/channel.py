"""The pipe between the server and the processes of pushed code: JSON messages both ways, nothing pickled."""

import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MAX_MESSAGE_BYTES = 256 * 2**20
Channel: TypeAlias = "Connection[Any, Any]"


def send_json(channel: Channel, message: dict[str, Any]) -> None:
    """Send one message; ``message`` must be JSON."""
    channel.send_bytes(json.dumps(message, allow_nan=False).encode())


def receive_json(channel: Channel) -> dict[str, Any]:
    """Receive one message.

    Raises:
        EOFError: if the other end is closed.
    """
    message: dict[str, Any] = json.loads(channel.recv_bytes(MAX_MESSAGE_BYTES))
    return message
