"""Serve loop of a worker process: load once, then answer one request after another."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from pytest_ibmodels.sandbox.execution.channel import Channel, receive_json, send_json
from pytest_ibmodels.sandbox.execution.child import describe

T = TypeVar("T")


def serve(channel: Channel, load: Callable[[], T], answer: Callable[[T, dict[str, Any]], Any]) -> T | None:
    """Load a model or service and answer requests with it until the server closes the channel.

    The first message is ``{"ready": true}`` or ``{"failure": ...}``, every later one the answer to one request:
    ``{"result": ...}`` or ``{"failure": ...}``.

    Returns:
        What ``load`` returned, or None if it failed.
    """
    try:
        loaded = load()
    except BaseException as error:  # noqa: BLE001 - pushed code may raise anything
        _send_failure(channel, error)
        return None
    send_json(channel, {"ready": True})
    while True:
        try:
            request = receive_json(channel)
        except (EOFError, OSError):
            return loaded
        try:
            send_json(channel, {"result": answer(loaded, request)})
        except BaseException as error:  # noqa: BLE001 - the process stays for the next request
            _send_failure(channel, error)


def _send_failure(channel: Channel, error: BaseException) -> None:
    failure = describe(error)
    sys.stderr.write(failure["strace"])
    send_json(channel, {"failure": failure})
