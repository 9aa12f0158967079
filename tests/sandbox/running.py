"""A sandbox in a process of its own, and the few calls that the tests make of it."""

import contextlib
import copy
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

TOKEN = "made-up-token"
SECONDS = 30.0


class RunningSandbox:
    """``python -m pytest_ibmodels.sandbox serve``, started; all calls are made as a client would make them."""

    def __init__(
        self,
        data: Path,
        *options: str,
        environ: Mapping[str, str] | None = None,
        preload: bool = False,
        tokens: str = TOKEN + "\n",
        before: Sequence[str] = (),
        token_file: Path | None = None,
    ) -> None:
        """``tokens`` is the content of the token file; ``before`` a command that ends by running its arguments."""
        token_file = token_file or data.parent / f"{data.name}.token"
        token_file.write_text(tokens)
        self.data = data
        self.stderr = token_file.with_suffix(".stderr")
        options = options if preload else ("--no-preload", *options)
        command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--announce", "--exit-with-parent"]
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*before, *command, "--data", str(data), "--token-file", str(token_file), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environ or {})},
            )
        assert self.process.stdout is not None
        self.announced: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.http = self._client(TOKEN)

    def _client(self, token: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.announced["url"], headers=headers, timeout=SECONDS)

    def seen_by(self, token: str) -> Self:
        """The same server, asked with another token."""
        other = copy.copy(self)
        other.http = self._client(token)
        return other

    def family(self) -> list[psutil.Process]:
        """The server and every process that it has started."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def close(self) -> None:
        self.http.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.stdout.close()

    # --- drives ---

    def call(self, method: str, path: str, body: Any = None, args: dict[str, Any] | None = None) -> httpx.Response:
        headers = {} if args is None else {"Instabase-API-Args": json.dumps(args)}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self.http.request(method, path, content=content, headers=headers)

    def raw(self, method: str, target: str, args: dict[str, Any], body: bytes = b"") -> tuple[int, bytes]:
        """A request whose target is sent as it stands; httpx would tidy it up."""
        connection = http.client.HTTPConnection(self.http.base_url.host, self.http.base_url.port or 80, SECONDS)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {TOKEN}", "Instabase-API-Args": json.dumps(args)}
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def api(self, path: str, body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("POST", f"/api/v1/{path}", body).json()
        return answer

    def drive(self, method: str, path: str, body: Any = None, args: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self.call(method, f"/api/v1/drives/{path}", body, args).json()
        return answer

    def write(self, path: str, content: bytes | str) -> dict[str, Any]:
        data = content.encode() if isinstance(content, str) else content
        return self.drive("POST", path, data, {"type": "file", "if_exists": "overwrite"})

    def read(self, path: str, **args: Any) -> bytes:
        response = self.call("GET", f"/api/v1/drives/{path}", args={"type": "file", "get_content": True, **args})
        assert response.headers["content-type"] == "application/octet-stream", response.text
        return response.content

    def names(self, path: str) -> list[str]:
        listing = self.drive("GET", path, args={"type": "folder", "get_content": True, "start_page_token": ""})
        return [node["name"] for node in listing["nodes"]]

    def exists(self, path: str) -> bool:
        return "metadata" in self.drive("GET", path, args={"get_content": False, "get_metadata": True})

    def push(self, folder: str, files: Mapping[str, str | bytes]) -> None:
        """Upload ``files`` as a zip and unpack it into ``folder``, as the clients do."""
        self.write(f"{folder}.zip", zipped(files))
        parent, name = folder.rsplit("/", 1)
        job = self.drive("POST", f"{parent}/unzip", {"zip_file": f"{name}.zip", "destination": folder})
        assert self.wait(job["job_id"])["results"] == [{"status": "OK"}]

    # --- jobs ---

    def status(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get("/api/v1/jobs/status", params={"job_id": job_id, "type": "async"}).json()
        return answer

    def wait(self, job_id: str, seconds: float = SECONDS) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status(job_id)
            if status["state"] == "DONE":
                return status
            time.sleep(0.02)
        message = f"job {job_id} did not end: {status}"
        raise AssertionError(message)

    def train(self, package: str, function: str, **arguments: Any) -> str:
        body = {"script_packages": [package], "function": function, "arguments": arguments, "device_type": "cpu"}
        answer = self.api("model-service/run_train", body)
        assert answer["status"] == "OK", answer
        job_id: str = answer["job_id"]
        return job_id

    def task_data(self, job_id: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.status(job_id)["cur_status"])["task_data"]
        return data

    def wait_for_report(self, job_id: str, key: str) -> Any:
        """Value that a running job reports as ``key``, once it does."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if key in (data := self.task_data(job_id)):
                return data[key]
            time.sleep(0.02)
        message = f"job {job_id} did not report {key}: {self.status(job_id)}"
        raise AssertionError(message)

    def log(self, job_id: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.http.get(f"/classifier/logs/{job_id}").json()
        return entries


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def all_gone(pids: list[int], seconds: float = 5.0) -> bool:
    """Whether all these processes end within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(_lives(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def soon(look: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Finding of ``look``, once there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    message = "it did not come to that"
    raise AssertionError(message)


class HalfUpload:
    """An upload of which half is sent."""

    def __init__(self, sandbox: RunningSandbox, path: str, content: bytes) -> None:
        url = sandbox.http.base_url
        self.connection = socket.create_connection((url.host, url.port or 80))
        args = json.dumps({"type": "file", "if_exists": "overwrite"})
        head = f"POST /api/v1/drives/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Instabase-API-Args: {args}\r\nContent-Length: {len(content)}\r\n\r\n"
        self.connection.sendall(head.encode() + content[: len(content) // 2])
        arriving = sandbox.data / "tmp"
        soon(lambda: any(file.stat().st_size for file in arriving.iterdir()))
