"""HTTP as clients other than ours speak it: methods, targets, ranges, `Expect`, and connections without end."""

import contextlib
import json
import logging
import re
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_ibmodels.sandbox.http.connections import MAX_CONNECTIONS, max_connections
from pytest_ibmodels.sandbox.http.server_log import RateLimit
from tests.sandbox.conftest import MAX_BODY_MIB
from tests.sandbox.running import TOKEN, RunningSandbox, soon

READ = {"Instabase-API-Args": '{"type":"file","get_content":true}'}
TEN = b"0123456789"


def url_of(path: str) -> str:
    return f"/api/v1/drives/{path}"


@contextlib.contextmanager
def connected(sandbox: RunningSandbox) -> Iterator[socket.socket]:
    address = sandbox.http.base_url
    with socket.create_connection((address.host, address.port or 80), timeout=20) as connection:
        yield connection


def said(connection: socket.socket) -> bytes:
    """All that comes until the server closes, or is silent for a second."""
    connection.settimeout(1)
    content = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while part := connection.recv(65536):
            content += part
    return content


def sent(sandbox: RunningSandbox, *lines: str, token: str = TOKEN) -> bytes:
    """The answer to a request that is sent as it stands."""
    with connected(sandbox) as connection:
        head = [*lines, "Host: x", f"Authorization: Bearer {token}", "", ""]
        connection.sendall("\r\n".join(head).encode())
        return said(connection)


@pytest.fixture
def ten(sandbox: RunningSandbox, root: str) -> str:
    sandbox.write(f"{root}/ten", TEN)
    return f"{root}/ten"


# --- methods and targets ---


@pytest.mark.parametrize("path", ["/openapi.json", "/api/v1/marketplace/list", "/api/v1/jobs/status?job_id=x"])
def test_head_is_get_without_the_content(sandbox: RunningSandbox, path: str) -> None:
    got, head = sandbox.http.get(path), sandbox.http.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_of_a_file_reads_none_of_it(sandbox: RunningSandbox, root: str, ten: str) -> None:
    sandbox.write(f"{root}/large", b"x" * 2**20)
    for path, size in ((ten, 10), (f"{root}/large", 2**20)):
        head = sandbox.http.head(url_of(path), headers=READ)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")
    assert sandbox.http.head(url_of(ten), headers={**READ, "Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", url_of("a/b/fs/c/d"), "DELETE, GET, HEAD, PATCH, POST"),
        ("OPTIONS", "/api/v1/marketplace/list", "GET, HEAD"),
        ("HEAD", "/api/v1/marketplace/publish", "POST"),
        ("GET", "/api/v1/jobs/cancel", "POST"),
    ],
)
def test_a_method_that_a_call_does_not_have_names_those_that_it_has(
    sandbox: RunningSandbox, method: str, path: str, allowed: str
) -> None:
    answer = sandbox.http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "front", ["http://some.host", "HTTP://some.host:80", "https://some.host/", "http://u:p@[::1]:8"]
)
def test_a_target_with_its_host_is_the_path_in_it(sandbox: RunningSandbox, ten: str, front: str) -> None:
    target = url_of(ten).replace(" ", "%20")
    answer = sent(sandbox, f"GET {front}{target} HTTP/1.1", f"Instabase-API-Args: {READ['Instabase-API-Args']}")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(TEN)
    assert b"404" in sent(sandbox, f"GET {front} HTTP/1.1").partition(b"\r\n")[0]


def test_a_wrong_token_is_told_how_to_come_in(sandbox: RunningSandbox) -> None:
    assert sandbox.http.get("/api/v1", headers={"Authorization": "Bearer no"}).headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer ", "bEaReR  "])
def test_the_case_of_the_scheme_does_not_count(sandbox: RunningSandbox, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert sandbox.http.get("/api/v1/marketplace/list", headers=headers).status_code == 200


# --- parts of a file ---


@pytest.mark.parametrize(
    ("asked", "content", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", TEN, "bytes 0-9/10"),
        ("Bytes=9-99", b"9", "bytes 9-9/10"),
        (f"bytes=5-{'9' * 5000}", b"56789", "bytes 5-9/10"),
    ],
)
def test_a_part_as_http_asks_for_it(sandbox: RunningSandbox, ten: str, asked: str, content: bytes, told: str) -> None:
    answer = sandbox.http.get(url_of(ten), headers={**READ, "Range": asked})
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (206, content, told)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=-0", f"bytes={'9' * 5000}-"])
def test_a_part_that_is_not_there(sandbox: RunningSandbox, ten: str, asked: str) -> None:
    answer = sandbox.http.get(url_of(ten), headers={**READ, "Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")
    assert answer.json()["status"] == "ERROR"


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=5-3", "bytes=0-1,4-5", "bytes=", "bytes=a-b"])
def test_what_is_no_single_part_is_all_of_it(sandbox: RunningSandbox, ten: str, asked: str) -> None:
    answer = sandbox.http.get(url_of(ten), headers={**READ, "Range": asked})
    assert (answer.status_code, answer.content, answer.headers["accept-ranges"]) == (200, TEN, "bytes")


def test_a_part_of_what_may_have_changed_is_all_of_it(sandbox: RunningSandbox, ten: str) -> None:
    answer = sandbox.http.get(url_of(ten), headers={**READ, "Range": "bytes=1-", "If-Range": '"some mark"'})
    assert (answer.status_code, answer.content) == (200, TEN)


def test_the_range_of_the_arguments_counts_first(sandbox: RunningSandbox, ten: str) -> None:
    headers = {"Instabase-API-Args": '{"type":"file","range":"bytes=1-2"}', "Range": "bytes=5-"}
    answer = sandbox.http.get(url_of(ten), headers=headers)
    assert (answer.status_code, answer.content) == (200, b"12")


def test_a_read_has_the_answer_beside_the_file(sandbox: RunningSandbox, ten: str) -> None:
    answer = sandbox.http.get(url_of(ten), headers=READ)
    told = json.loads(answer.headers["Instabase-API-Resp"])
    assert (told["status"], told["metadata"]["type"], told["metadata"]["size"]) == ("OK", "file", 10)


# --- bodies that are not wanted ---


@pytest.mark.parametrize(
    ("token", "length", "status"), [("wrong", 10, 401), (TOKEN, (MAX_BODY_MIB + 1) * 2**20, 413), ("wrong", 10**9, 401)]
)
def test_a_body_that_is_not_wanted_is_refused_before_it_comes(
    sandbox: RunningSandbox, token: str, length: int, status: int
) -> None:
    lines = ["POST /api/v1/drives/a/b/fs/c/d HTTP/1.1", "Expect: 100-continue", f"Content-Length: {length}"]
    answer = sent(sandbox, *lines, token=token)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer.lower()


def test_a_body_that_is_wanted_is_asked_for(sandbox: RunningSandbox, root: str) -> None:
    path = url_of(f"{root}/x").replace(" ", "%20")
    with connected(sandbox) as connection:
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", "Expect: 100-continue"]
        lines += ['Instabase-API-Args: {"type":"file"}', "Content-Length: 2", "", ""]
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(b"ab")
        assert b'"OK"' in said(connection)
    assert sandbox.read(f"{root}/x") == b"ab"


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_json_body_under_any_content_type(sandbox: RunningSandbox, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = sandbox.http.post("/api/v1/jobs/cancel", content=b' {"job_id": "none"}', headers=headers)
    assert (answer.status_code, answer.json()["msg"]) == (200, "there is no job 'none'")
    answer = sandbox.http.post("/api/v1/jobs/cancel", content=b" ", headers=headers)
    assert (answer.status_code, answer.json()["msg"]) == (200, "cancel: the body: Field required")


# --- connections ---


class LimitedFiles:
    """A sandbox that may have few files open."""

    command = ("sh", "-c", 'ulimit -n 160 && exec "$0" "$@"')


def test_more_connections_than_files_may_be_open(start: Callable[..., RunningSandbox]) -> None:
    sandbox = start(before=LimitedFiles.command)
    sandbox.write("a/b/fs/c/f", b"x")
    address = (sandbox.http.base_url.host, sandbox.http.base_url.port or 80)
    with contextlib.ExitStack() as opened:
        for _ in range(200):
            opened.enter_context(contextlib.closing(socket.create_connection(address, timeout=20)))
        # The connection that was there is served as before; new ones are told to come again.
        assert sandbox.read("a/b/fs/c/f") == b"x"
        assert sandbox.write("a/b/fs/c/g", b"y")["status"] == "OK"
        with httpx.Client(base_url=sandbox.http.base_url, headers=sandbox.http.headers) as another:
            answer = another.get("/api/v1/marketplace/list")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["msg"].startswith("UNAVAILABLE: ")
        time.sleep(1)
    assert (sandbox.data / "server.log").stat().st_size < 100_000
    assert soon(lambda: sandbox.http.get("/api/v1/marketplace/list").status_code == 200)


def test_too_many_open_files_are_told_as_what_passes(start: Callable[..., RunningSandbox]) -> None:
    sandbox = start(before=LimitedFiles.command)
    sandbox.write("a/b/fs/c/f", b"x" * 2**20)
    process = sandbox.process.pid
    opened = {int(number.name) for number in Path(f"/proc/{process}/fd").iterdir()}
    full = min(set(range(200)) - opened)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (full, 160))
    for answer in (
        sandbox.http.get(url_of("a/b/fs/c/f"), headers=READ),
        sandbox.http.post(url_of("a/b/fs/c/g"), content=b"x", headers={"Instabase-API-Args": '{"type":"file"}'}),
        sandbox.http.get(url_of("a/b/fs/c"), headers={"Instabase-API-Args": '{"type":"folder"}'}),
    ):
        assert answer.status_code == 503, answer.text[:200]
        assert answer.json()["msg"].startswith("UNAVAILABLE: ")
        assert "Too many open files" in answer.json()["msg"]
    resource.prlimit(process, resource.RLIMIT_NOFILE, (160, 160))
    assert sandbox.read("a/b/fs/c/f") == b"x" * 2**20


@pytest.mark.parametrize("sent_first", [b"", b"GET /api/v1/mark", b"GET / HTTP/1.1\r\nHost: x\r\nX-Half:"])
def test_who_does_not_say_what_it_wants_is_not_kept(
    start: Callable[..., RunningSandbox], tmp_path: Path, sent_first: bytes
) -> None:
    # Python imports this at its start: a minute is long for a test.
    hurry = "from pytest_ibmodels.sandbox.http import connections\nconnections.HEAD_SECONDS = 1.0\n"
    (tmp_path / "sitecustomize.py").write_text(hurry)
    sandbox = start(environ={"PYTHONPATH": str(tmp_path)})
    with connected(sandbox) as silent:
        silent.sendall(sent_first)
        began = time.monotonic()
        assert silent.recv(1000) == b""
        assert 0.8 < time.monotonic() - began < 15
    with connected(sandbox) as second:
        # A further request on a connection is held to the same, and one in time is answered.
        head = f"GET /api/v1/marketplace/list HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        for _ in range(3):
            second.sendall(head.encode())
            answer = b""
            while not answer.endswith(b"[]}"):
                answer += second.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.7)
        second.sendall(sent_first or b"G")
        assert second.recv(1000) == b""


def test_there_is_always_room_for_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((20, 16), (1024, 512), (10**6, MAX_CONNECTIONS), (-1, MAX_CONNECTIONS)):
        monkeypatch.setattr(resource, "getrlimit", lambda _what, soft=soft: (soft, soft))
        assert max_connections() == expected


def test_a_flood_of_the_same_is_logged_in_part(caplog: pytest.LogCaptureFixture) -> None:
    logger, limit = logging.getLogger("flood"), RateLimit()
    written: list[str] = []
    for number in range(10_000):
        for template in ("accept: %s", "another: %s" if number < 5 else "accept: %s"):
            record = logger.makeRecord("flood", logging.ERROR, __file__, 1, template, (number,), None)
            if limit.filter(record):
                written.append(record.getMessage())
                assert limit.filter(record)
    assert len(written) < 300
    assert sum(text.startswith("another") for text in written) == 5
    assert "similar ones are left out" in written[-1]


# --- what is told of all this ---


def test_refusals_are_described(sandbox: RunningSandbox) -> None:
    described: dict[str, Any] = sandbox.http.get("/openapi.json").json()
    for path, calls in described["paths"].items():
        for method, call in calls.items():
            assert {"200", "401", "404", "413", "503"} <= set(call["responses"]), (method, path)
            assert "422" not in call["responses"]
            assert "Refusal" in json.dumps(call["responses"]["200"])
    read = described["paths"]["/api/v1/drives/{path}"]["get"]["responses"]
    assert set(read["200"]["content"]) == {"application/json", "application/octet-stream"}
    assert {"206", "416"} <= set(read)
    names = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(described)))
    assert names <= set(described["components"]["schemas"])
