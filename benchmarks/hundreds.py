"""Many cases at once: how long after the last job the last verdict is there, and what each case costs.

    python -m benchmarks.hundreds                          # the table, the workers and the faults: half an hour
    python -m benchmarks.hundreds --sizes 1 50 --only table

Sandboxes with room for all run a training that sleeps and reports its progress and metrics. `seconds` is from the start
of the first job to the last verdict, `over` that time over (the job's length + the one inference of the first row): 1.1
is the goal. What lies above is the sandbox, which forks, trains and serves hundreds of processes on this machine, as
much as the engine: `begun` tells when it had begun the last job, `ended` when the last job had ended, and `busy` which
part of all cores was at work, or taken by the machine's host (`stolen`), from the end of the first job to the last
verdict. Near 1.0 it is the machine that sets the time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.faults.proxy import FaultProxy
from tests.plugin.hundreds import good_and_bad, good_cases, not_as_meant, one_in_twenty, run_session, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugin.conftest import Server
    from tests.plugin.hundreds import Measured

ROW = "{:>6}{:>9}{:>7}{:>7}{:>7}{:>7}{:>8}{:>11}{:>15}{:>13}{:>8}{:>9}{:>6}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 50, 200, 1000])
    parser.add_argument("--seconds", type=float, default=20.0, help="the length of a job")
    parser.add_argument("--only", choices=["table", "workers", "faults"])
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; a loop of ten million takes {_loop():.2f} s here")
    if options.only in {None, "table"}:
        table(options.sizes, options.seconds)
    if options.only in {None, "workers"}:
        workers()
    if options.only in {None, "faults"}:
        faults()


def table(sizes: list[int], length: float) -> None:
    heads = "cases seconds over begun ended busy stolen inference requests/case connections CPU MB load"
    print(ROW.format(*heads.split()))
    one = 0.0
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder, "sandbox"), max_jobs=size) as server:
            cases, urls = good_cases(size, length), {"dogfood": server.url}
            with watching() as looks:
                session = run_session(Path(folder, "project"), cases, urls, data=(server.data,), timeout=3600)
            inference = statistics.mean(run["seconds"]["inference"] or 0.0 for run in session.runs)
            one = one or inference
            begun, ended = jobs(server)
            print(
                ROW.format(
                    size,
                    f"{session.seconds:.1f}",
                    f"{session.seconds / (length + one):.2f}",
                    f"{begun:.1f}",
                    f"{ended:.1f}",
                    *(f"{part:.2f}" for part in busy(looks, session.first_start + length, session.last_end)),
                    f"{inference:.2f}",
                    f"{session.requests / size:.1f}",
                    session.connections,
                    f"{session.cpu:.1f}",
                    f"{session.memory / 1e6:.0f}",
                    f"{os.getloadavg()[0]:.1f}",
                ),
                told(session),
            )


def workers(count: int = 1000) -> None:
    """So many cases of a second each over four environments, with four workers."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {name: stack.enter_context(sandbox(folder / name, max_jobs=50)) for name in ("a", "b", "c", "d")}
        cases = good_and_bad(count // len(servers), 1.0)
        urls = {name: server.url for name, server in servers.items()}
        begun = time.monotonic()
        session = run_session(folder / "project", cases, urls, "-n", "4", timeout=3600)
        seconds = time.monotonic() - begun
        uploads = [server.jobs("unzip") for server in servers.values()]
        left = [name for server in servers.values() for name in server.left_over()]
    print(f"-n 4: {len(session.runs)} cases of 1 s over 4 environments in {seconds:.0f} s; uploads {uploads};", end=" ")
    print(f"wrong verdicts {not_as_meant(session.runs)}, left over {left}")


def faults(count: int = 200) -> None:
    """So many good cases, and some bad ones, with one request in twenty failing."""
    choose, met = one_in_twenty()
    with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder, "sandbox"), max_jobs=count * 2) as server:
        cases = good_and_bad(count, 2.0)
        with FaultProxy(server.url, choose) as proxy:
            session = run_session(Path(folder, "project"), cases, {"dogfood": proxy.url}, timeout=3600)
            asked = len(proxy.calls)
        passed = sum(run["inference"]["outcome"] == "passed" for run in session.runs)
        print(f"faults: {len(met)} of {asked} requests failed; {passed} of {count} good cases passed;", end=" ")
        print(
            f"wrong verdicts {not_as_meant(session.runs)}; jobs {server.jobs('train')} for {len(cases)} cases;", end=" "
        )
        print(f"left over {server.left_over()}")


Looks = list[tuple[float, float, float]]
"""Unix time, and the seconds of all cores together that they have been idle, and that their host has taken."""


@contextlib.contextmanager
def watching() -> Iterator[Looks]:
    """Look at the machine some times a second."""
    looks: Looks = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            spent = psutil.cpu_times()
            looks.append((time.time(), spent.idle + spent.iowait, spent.steal))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield looks
    finally:
        over.set()
        watcher.join()


def busy(looks: Looks, begin: float, end: float) -> tuple[float, float]:
    """The part of all cores that was not idle between two moments, and the part that was taken."""
    inside = [look for look in looks if begin - 0.2 <= look[0] <= end + 0.2]
    seconds, idle, stolen = (after - before for before, after in zip(inside[0], inside[-1], strict=True))
    cores = (os.cpu_count() or 1) * (seconds or 1.0)
    return 1 - idle / cores, stolen / cores


def jobs(server: Server) -> tuple[float, float]:
    """When the last job had begun and when the last had ended, in seconds after the first had begun."""
    with contextlib.closing(sqlite3.connect(server.data / "sandbox.sqlite")) as store:
        query = "select min(started), max(started), max(finished) from jobs where kind = 'train'"
        first, begun, ended = store.execute(query).fetchone()
    return begun - first, ended - first


def told(session: Measured) -> str:
    failed = sum(run[phase]["outcome"] != "passed" for run in session.runs for phase in ("training", "inference"))
    return f"{failed} phases did not pass" if failed else ""


def _loop() -> float:
    """Seconds of processor time, which another machine, or a quiet one, may be compared by."""
    begun, total = time.process_time(), 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - begun


if __name__ == "__main__":
    main()
