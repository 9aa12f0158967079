"""Serve loop of a worker process: load once, then answer one request after another."""

import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from pytest_ibmodels.sandbox.execution.channel import Channel, receive_json, send_json
from pytest_ibmodels.sandbox.execution.child import describe

T = TypeVar("T")


def serve(
    channel: Channel,
    load: Callable[[], T],
    answer: Callable[[T, dict[str, Any]], Any],
    answer_many: Callable[[T, list[dict[str, Any]]], Iterable[Any]] | None = None,
) -> T | None:
    """Load a model or service and answer requests with it until the server closes the channel.

    The first message is ``{"ready": true}`` or ``{"failure": ...}``, every later one the answer to one request:
    ``{"result": ...}`` or ``{"failure": ...}``. With ``answer_many``, a request may be ``{"list": [...]}``: each of the
    list gets an answer, in order.

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
        if answer_many is not None and "list" in request:
            _answer_list(channel, request["list"], lambda requests: answer_many(loaded, requests))
            continue
        try:
            send_json(channel, {"result": answer(loaded, request)})
        except BaseException as error:  # noqa: BLE001 - the process stays for the next request
            _send_failure(channel, error)


def _answer_list(
    channel: Channel, requests: list[dict[str, Any]], answer_many: Callable[[list[dict[str, Any]]], Iterable[Any]]
) -> None:
    """Send an answer to each request; one that fails does not stop those after it."""
    sent = 0
    while sent < len(requests):
        failure: BaseException = ValueError("the model's run_many() returned fewer results than there are requests")
        try:
            for result in islice(answer_many(requests[sent:]), len(requests) - sent):
                send_json(channel, {"result": result})
                sent += 1
        except BaseException as error:  # noqa: BLE001 - the process stays for the next request
            failure = error
        if sent < len(requests):
            _send_failure(channel, failure)
            sent += 1


def _send_failure(channel: Channel, error: BaseException) -> None:
    failure = describe(error)
    sys.stderr.write(failure["strace"])
    send_json(channel, {"failure": failure})
