"""Pipe between the server and the processes of pushed code: JSON messages in both directions, no pickles."""

import json
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MAX_MESSAGE_BYTES = 64 * 2**20
Channel: TypeAlias = "Connection[Any, Any]"


def send_json(channel: Channel, message: dict[str, Any]) -> None:
    """Send one message, which must be JSON.

    Raises:
        ValueError: The message is larger than ``MAX_MESSAGE_BYTES``.
    """
    content = json.dumps(message, allow_nan=False).encode()
    if len(content) > MAX_MESSAGE_BYTES:
        size, limit = len(content) / 2**20, MAX_MESSAGE_BYTES / 2**20
        msg = f"a message of {size:.0f} MiB is larger than the limit of {limit:.0f} MiB"
        raise ValueError(msg)
    channel.send_bytes(content)


def receive_json(channel: Channel) -> dict[str, Any]:
    """Receive one message.

    Raises:
        EOFError: The other end is closed.
    """
    message: dict[str, Any] = json.loads(channel.recv_bytes(MAX_MESSAGE_BYTES))
    return message
