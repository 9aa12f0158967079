"""The portal with 10,000 jobs and a log of 256 MiB: milliseconds of the server, weight of the first page, and what 50
open logs cost while nothing happens.

    python benchmarks/portal.py [--jobs 10000] [--streams 50] [--seconds 20]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "token-of-the-benchmark"  # noqa: S105 - made up
STREAMED = "0" * 32


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    (folder / "token").write_text(TOKEN)
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--no-preload", "--announce"]
    command += ["--exit-with-parent", "--data", str(folder / "data"), "--token-file", str(folder / "token")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url, timeout=60, headers={"Origin": url}) as client:
            if client.post("/portal/sign-in", data={"secret": TOKEN}).status_code != 303:
                raise SystemExit("signing in failed")
            yield client, psutil.Process(process.pid)
        process.stdin.close()


def fill(folder: Path, jobs: int) -> None:
    """Add jobs that have ended, with reports of some kilobytes, and one with a long log that looks as if it ran."""
    history = [{"step": step, "epoch": step / 10, "loss": 1 / (step + 1), "learning_rate": 1e-5} for step in range(100)]
    data = json.dumps({"progress": 1.0, "history": history, "evaluation_results": {"f1": {"Name": 0.9}}})
    now = time.time()
    rows = [
        (f"{number:032x}", "train", now - number, "DONE", "DONE", "", data, "[]", now - number, now - number + 5, 2**28)
        for number in range(1, jobs + 1)
    ]
    names = "id, kind, created, state, task_state, message, task_data, results, started, finished, peak_memory"
    with contextlib.closing(sqlite3.connect(folder / "data" / "sandbox.sqlite")) as database, database:
        database.executemany(f"INSERT INTO jobs ({names}) VALUES ({', '.join('?' * 11)})", rows)  # noqa: S608
        running = (STREAMED, "train", now, "PENDING", "STARTED", "", data, "[]", now, None, 0)
        database.execute(f"INSERT INTO jobs ({names}) VALUES ({', '.join('?' * 11)})", running)  # noqa: S608
    log = folder / "data" / "jobs" / STREAMED / "log.txt"
    log.parent.mkdir()
    line = b"2026-01-01 12:00:00 INFO step 12345 of 99999: loss 0.12345\n"
    with log.open("wb") as file:
        for _ in range(256):
            file.write(line * (2**20 // len(line)))
        file.write(b"ERROR: the first one\n")


def measure(client: httpx.Client, path: str, repeats: int = 20) -> str:
    seconds, size = [], 0
    for _ in range(repeats):
        begun = time.perf_counter()
        answer = client.get(path)
        seconds.append(time.perf_counter() - begun)
        assert answer.status_code == 200, answer
        size = len(answer.content)
    return f"{1000 * statistics.median(seconds):7.1f} ms  (slowest {1000 * max(seconds):.1f})  {size / 1000:6.1f} kB"


def cost_of_streams(client: httpx.Client, server: psutil.Process, count: int, seconds: float) -> str:
    url = f"/portal/jobs/{STREAMED}/log/stream?from=999999999"
    with contextlib.ExitStack() as stack:
        limits = httpx.Limits(max_connections=None)
        many = stack.enter_context(
            httpx.Client(base_url=client.base_url, cookies=client.cookies, limits=limits, timeout=60)
        )
        for _ in range(count):
            answer = stack.enter_context(many.stream("GET", url, headers={"Accept": "text/event-stream"}))
            assert answer.status_code == 200
        time.sleep(2)
        idle = sum(server.cpu_times()[:2])
        time.sleep(seconds)
        used = sum(server.cpu_times()[:2]) - idle
    return f"{100 * used / seconds:.2f} % of a core"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serve(folder) as (client, server):
            fill(folder, options.jobs)
            page = client.get("/portal/jobs").text
            files = re.findall(r'(?:src|href)="(/portal/static/[^"]+)"', page)
            shared = sum(len(client.get(file).content) for file in files)
            older = re.findall(r'href="(/portal/jobs\?before=[^"]+)"', page)[0]
            print(f"first page                  {measure(client, '/portal/jobs')}")
            print(f"second page                 {measure(client, older)}")
            print(f"page in the middle          {measure(client, f'/portal/jobs?before={time.time() - 5000}_x')}")
            print(f"filter without a match      {measure(client, '/portal/jobs?state=failed')}")
            print(f"a job with 256 MiB of log   {measure(client, f'/portal/jobs/{STREAMED}')}")
            print(f"its first error             {measure(client, f'/portal/jobs/{STREAMED}/log?at=error', 3)}")
            print(f"style, scripts and icon     {shared / 1000:.1f} kB, once")
            for count in (options.streams, 0):
                print(f"{count:2} open logs                {cost_of_streams(client, server, count, options.seconds)}")


if __name__ == "__main__":
    main()
