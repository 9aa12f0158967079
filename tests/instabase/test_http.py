from __future__ import annotations

import asyncio
import email.utils
import gzip
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import SecretStr

from pytest_ibmodels.instabase import http, policy
from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.errors import (
    AccessRefused,
    ApiError,
    EnvironmentUnavailable,
    GarbledAnswer,
    InstabaseError,
    Redirected,
    UnexpectedAnswer,
)
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.instabase.wire import Resources, TrainRequest
from tests.engine.test_case_runner import FakeClock
from tests.faults.drip import DripServer

TOKEN = "t0ken-that-nobody-may-see"
ResultT = TypeVar("ResultT")
Handler = Callable[[httpx.Request], httpx.Response]


def ask(
    handler: Handler, question: Callable[[Instabase], Coroutine[Any, Any, ResultT]], retrier: Retrier | None = None
) -> ResultT:
    """Ask an environment that answers with ``handler``, for faults that the sandbox cannot cause."""

    async def main() -> ResultT:
        transport = httpx.MockTransport(handler)
        client = Instabase("https://ib.example.com/", SecretStr(TOKEN), retrier=retrier, transport=transport)
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(main())


def answer(status: int = 200, **kwargs: Any) -> Handler:
    return lambda _request: httpx.Response(status, **kwargs)


def refuse(error: type[httpx.TransportError]) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error(f"no route, token {TOKEN}", request=request)

    return handler


async def read(client: Instabase) -> bytes:
    return await client.drive.read("acme/ci/fs/Instabase Drive/a#b?c%.json")


async def status(client: Instabase) -> object:
    return await client.jobs.status("j1", kind="async")


def test_a_start_has_a_key_of_its_own_and_sends_what_no_instabase_knows_only_if_it_is_set() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(503) if len(seen) == 1 else httpx.Response(200, json={"job_id": "j1"})

    async def start_three(client: Instabase) -> None:
        for resources, key in ((None, ""), (None, ""), (Resources(gpus=1, memory=2**30), "k")):
            request = TrainRequest(function="m.f", arguments={"mount_details": None}, resources=resources)
            request.retries = 0 if resources else None
            assert await client.models.train(request, key) == "j1"

    ask(handler, start_three, Retrier(FakeClock()))
    keys = [request.headers["Idempotency-Key"] for request in seen]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == "k"
    plain = {"script_packages": [], "function": "m.f", "arguments": {"mount_details": None}, "device_type": "cpu"}
    asked = {"resources": {"cpus": 1.0, "gpus": 1, "memory": 2**30}, "retries": 0}
    assert [json.loads(request.content) for request in seen] == [plain, plain, plain, plain | asked]


@pytest.mark.parametrize(
    "other",
    [
        {"status_code": 404, "json": {"status": "ERROR", "msg": "no such route"}},
        {"status_code": 200, "html": "<html>Sign in</html>"},
        {"status_code": 200, "json": {"status": "ERROR", "msg": "unknown call"}},
        {"status_code": 200, "json": {"status": "OK", "nodes": "many"}},
        {"status_code": 302, "headers": {"Location": "/login"}},
        {"status_code": 403, "json": {}},
    ],
)
def test_an_environment_that_is_no_sandbox_is_asked_once(other: dict[str, Any]) -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(**other)

    async def look(client: Instabase) -> object:
        return await client.sandbox_status()

    assert ask(handler, look, Retrier(FakeClock())) is None
    assert seen == ["/api/v1/sandbox/status"]
    with pytest.raises(EnvironmentUnavailable):
        ask(answer(503), look)


def test_a_path_is_encoded_and_the_token_is_sent_in_its_header() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"content")

    assert ask(handler, read) == b"content"
    assert str(seen[0].url) == "https://ib.example.com/api/v1/drives/acme/ci/fs/Instabase%20Drive/a%23b%3Fc%25.json"
    assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert seen[0].headers["instabase-api-args"] == '{"type": "file", "get_content": true}'


@pytest.mark.parametrize(
    ("handler", "kind", "text"),
    [
        (answer(json={"status": "ERROR", "msg": "no such job"}), ApiError, "GET jobs/status: no such job"),
        (answer(404, json={"msg": "unknown route"}), ApiError, "GET jobs/status: unknown route (HTTP 404)"),
        (answer(500, text="oops"), EnvironmentUnavailable, "cannot answer at present (HTTP 500: 'oops')"),
        (answer(503, text="<html>"), EnvironmentUnavailable, "cannot answer at present (HTTP 503: '<html>')"),
        (answer(401, json={"msg": "no"}), AccessRefused, "refused the token (HTTP 401): check `token`"),
        (answer(text="<html>sign in</html>"), GarbledAnswer, "the answer is not JSON: '<html>sign in</html>'"),
        (answer(json=[1]), UnexpectedAnswer, "the answer: Input should be a valid dictionary"),
        (answer(json={"results": 3}), UnexpectedAnswer, "results: Input should be a valid list; got '{\"results\":3}'"),
        (
            answer(302, headers={"location": "https://evil.example.com"}),
            Redirected,
            "the token is not sent there",
        ),
        (
            refuse(httpx.ConnectError),
            EnvironmentUnavailable,
            "no answer from https://ib.example.com: no route, token ***",
        ),
        (refuse(httpx.ReadTimeout), EnvironmentUnavailable, "did not answer in time (ReadTimeout)"),
    ],
)
def test_whatever_is_not_an_answer_is_an_error_that_names_the_call(
    handler: Handler, kind: type[InstabaseError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        ask(handler, status)
    assert text in str(caught.value)
    assert type(caught.value) is kind


def test_the_status_of_a_failed_job_is_an_answer() -> None:
    body = {"status": "ERROR", "state": "DONE", "msg": "boom", "results": [{"error": "boom"}]}
    assert ask(answer(json=body), lambda client: client.jobs.status("j1")).is_error


def test_an_error_envelope_in_place_of_a_file_is_an_error() -> None:
    with pytest.raises(ApiError, match="no such file"):
        ask(answer(json={"status": "ERROR", "msg": "no such file"}), read)


@pytest.mark.parametrize("content", [b'{"status": "ERROR"}', b'{"status": "OK", "msg": "x"}', b"not json", b"[1]"])
def test_a_file_that_only_looks_like_an_envelope_is_a_file(content: bytes) -> None:
    assert ask(answer(content=content, headers={"content-type": "application/json"}), read) == content


def test_a_listing_is_read_page_by_page() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if '"start_page_token": ""' in request.headers["instabase-api-args"]:
            return httpx.Response(200, json={"nodes": [{"name": "a"}], "has_more": True, "next_page_token": "2"})
        return httpx.Response(200, json={"nodes": [{"name": "b"}], "has_more": False, "next_page_token": ""})

    nodes = ask(handler, lambda client: client.drive.list("acme/ci/fs/Drive"))
    assert [node.name for node in nodes] == ["a", "b"]


def test_a_page_that_points_to_itself_ends_the_listing() -> None:
    handler = answer(json={"nodes": [{"name": "a"}], "has_more": True, "next_page_token": "again"})
    assert len(ask(handler, lambda client: client.drive.list("acme/ci/fs/Drive"))) == 2


def test_the_token_is_in_no_message_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    for handler in (answer(500, text=f"your token {TOKEN}"), answer(text=TOKEN), refuse(httpx.ReadError)):
        with pytest.raises(InstabaseError) as caught:
            ask(handler, status)
        texts.append(str(caught.value))
    assert TOKEN not in " ".join([*texts, caplog.text])
    assert texts[0].count("***") == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("inf", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_a_number_or_a_date(value: str, seconds: float | None) -> None:
    with pytest.raises(EnvironmentUnavailable) as caught:
        ask(answer(429, headers={"retry-after": value}), status)
    assert (caught.value.status, caught.value.retry_after) == (429, seconds)


def test_retry_after_may_be_a_date_to_come() -> None:
    later = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=100))
    with pytest.raises(EnvironmentUnavailable) as caught:
        ask(answer(503, headers={"retry-after": later}), status)
    assert caught.value.retry_after is not None
    assert 90 < caught.value.retry_after <= 100


@pytest.mark.parametrize(
    ("status_code", "kind"), [(413, ApiError), (429, EnvironmentUnavailable), (503, EnvironmentUnavailable)]
)
def test_the_pause_that_is_asked_for_is_said(status_code: int, kind: type[InstabaseError]) -> None:
    with pytest.raises(kind, match=r"it asks to wait for 3600 s \(Retry-After\)"):
        ask(answer(status_code, headers={"retry-after": "3600"}, text="later"), status)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"[" * 300 + b"]" * 300, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a":' * 250 + b"1" + b"}" * 250],
)
@pytest.mark.parametrize("code", [200, 404, 503])
def test_an_answer_that_is_nested_deep_is_an_error_like_others(body: bytes, code: int) -> None:
    with pytest.raises(InstabaseError) as caught:
        ask(answer(code, content=body), status)
    if code == 200:
        assert "the answer is nested more than 200 levels deep: '" in str(caught.value)
        assert type(caught.value) is UnexpectedAnswer  # trying again does not help


def test_a_file_may_be_nested_as_deep_as_it_likes() -> None:
    content = b"[" * 100_000
    assert ask(answer(content=content, headers={"content-type": "application/json"}), read) == content


def test_half_a_character_in_an_answer_can_be_written() -> None:
    body = rb'{"status": "ERROR", "state": "DONE", "msg": "cut \ud83d", "results": [{"error": "\ud83d\ude00 \ude00"}]}'
    failed = ask(answer(content=body), lambda client: client.jobs.status("j1"))
    assert (failed.msg, failed.failure) == ("cut ?", "\U0001f600 ?")


def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "STATUS", replace(policy.STATUS, timeout=1.0))
    for first in (b"", b"HTTP/1.1 200 OK\r\nX-Slow:"):
        with (
            DripServer(first) as server,
            pytest.raises(EnvironmentUnavailable, match="a complete answer within 1 s") as caught,
        ):
            asyncio.run(asked(server.url))
        assert caught.value.reached


async def asked(url: str) -> None:
    client = Instabase(url, SecretStr(TOKEN))
    try:
        await status(client)
    finally:
        await client.close()


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_bound_is_given_up(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_JSON_BYTES", 2**20)
    body = b"[" + b" " * 2**21
    headers = {"content-encoding": "gzip"} if packed else {}
    with pytest.raises(UnexpectedAnswer, match="the answer has more than 1 MiB"):
        ask(answer(content=gzip.compress(body) if packed else body, headers=headers), status)
    assert ask(answer(content=body), read) == body


@pytest.mark.parametrize(
    "handler",
    [answer(content=b""), answer(text="<html>wait</html>", headers={"content-type": "text/html; charset=utf-8"})],
    ids=["nothing", "a web page"],
)
def test_what_comes_in_place_of_a_file_is_no_file(handler: Handler) -> None:
    with pytest.raises(GarbledAnswer):
        ask(handler, read)


@pytest.mark.parametrize("body", [b"null", b"  ", b'{"state": "PEN'])
def test_an_empty_or_cut_answer_is_none(body: bytes) -> None:
    with pytest.raises(GarbledAnswer):
        ask(answer(content=body, headers={"content-type": "application/json"}), status)


def test_two_ways_to_write_a_name_look_different_in_messages() -> None:
    missing = answer(json={"status": "ERROR", "msg": "it does not exist"})
    with pytest.raises(ApiError, match=r"^GET drives/a/cafe\\u0301: it does not exist"):
        ask(missing, lambda client: client.drive.read("a/cafe\u0301"))
    with pytest.raises(ApiError, match="^GET drives/a/caf\u00e9: it does not exist"):
        ask(missing, lambda client: client.drive.read("a/caf\u00e9"))
