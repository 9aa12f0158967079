"""The serve loop of worker processes."""

import threading
from multiprocessing import Pipe

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
