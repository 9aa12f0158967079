"""The serve loop of worker processes."""

import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from typing import Any

import pytest

from pytest_ibmodels.sandbox.execution import channel
from pytest_ibmodels.sandbox.execution.channel import receive_json, send_json
from pytest_ibmodels.sandbox.execution.worker import serve


def test_an_answer_that_is_too_large_fails_and_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MAX_MESSAGE_BYTES", 4096)
    server, worker = Pipe()
    thread = threading.Thread(target=serve, args=(worker, lambda: "x", lambda text, request: text * request["count"]))
    thread.start()
    assert receive_json(server) == {"ready": True}
    send_json(server, {"count": 5000})
    assert "is larger than the limit" in receive_json(server)["failure"]["msg"]
    send_json(server, {"count": 2})
    assert receive_json(server) == {"result": "xx"}
    server.close()
    thread.join(10)
    assert not thread.is_alive()


def test_each_request_of_a_list_has_an_answer() -> None:
    def tenths(_loaded: object, requests: list[dict[str, Any]]) -> Iterator[float]:
        for request in requests:
            if request["number"] is None:
                return
            yield 10 / request["number"]

    server, worker = Pipe()
    thread = threading.Thread(target=serve, args=(worker, object, lambda _loaded, request: request, tenths))
    thread.start()
    assert receive_json(server) == {"ready": True}
    send_json(server, {"list": [{"number": number} for number in (1, 0, None, 2)]})
    one, zero, none, two = (receive_json(server) for _ in range(4))
    assert (one, two) == ({"result": 10.0}, {"result": 5.0})
    assert zero["failure"]["error"] == "ZeroDivisionError: division by zero"
    assert "run_many() returned fewer results" in none["failure"]["error"]
    send_json(server, {"number": 3})
    assert receive_json(server) == {"result": {"number": 3}}
    server.close()
    thread.join(10)
    assert not thread.is_alive()
