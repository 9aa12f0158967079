"""Sleeping jobs on clusters of this machine: how long they take, and what each costs the network and the database.

    python -m benchmarks.scale_out                                  # the table: eight minutes
    python -m benchmarks.scale_out --nodes 1 2 --seconds 5 --rounds 2

Nodes are processes of this machine with two slots each, and get as many jobs as keep all slots busy for `rounds` times
`seconds`, the ideal. `over` is the time from the first request to the end of the last job, over the ideal; the goal is
1.15 up to four nodes, and 1.3 with eight. What lies above is mostly this machine, which is all nodes at once.

Each job costs `statements` and `db kB` between the server and PostgreSQL, `asks` and `nodes kB` between the server's
driver and the nodes, `head kB` between the driver and the cluster's head, and seconds of processor of the server and
the driver. Lines `idle` say what a second without jobs costs, which is subtracted from the lines of jobs.

Nobody polls the jobs here. Each poll of a client costs the server one more statement, or two while the job waits.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
from sqlalchemy import Engine, create_engine, text

from tests.cluster.running import HEAD, SLOTS, RunningCluster, wait_for
from tests.databases import running_postgresql
from tests.sandbox.running import RunningSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "acme/repo/fs/Drive/code"
CODE = """
import time

def rest(seconds, **others):
    time.sleep(seconds)
"""
HEADS = ("nodes", "jobs", "ideal", "took", "over", "statements", "db kB", "asks", "nodes kB", "head kB")
PROCESSORS = ("server", "driver", "load")
ROW = "{:>6}{:>6}{:>7}{:>7}{:>6}{:>12}{:>7}{:>6}{:>10}{:>9}{:>8}{:>8}{:>6}"
GOALS = {1: 1.15, 2: 1.15, 4: 1.15, 8: 1.3}
PRINTS_SECONDS = 1.0
"""How often Ray's library writes its counts to its log."""
IDLE_SECONDS = 15.0
SS = shutil.which("ss") or "ss"
USER = "measured"
"""User of the server in PostgreSQL, which nobody else is."""


@dataclass(frozen=True)
class Counts:
    """Use of a server so far, or in a second; sizes in bytes, times in seconds of processor."""

    statements: float
    database: float
    asks: float
    nodes: float
    head: float
    server: float
    driver: float

    def minus(self, other: Self, times: float = 1.0) -> Self:
        return type(self)(**{name: value - times * getattr(other, name) for name, value in vars(self).items()})

    def each(self, parts: float) -> Self:
        return type(self)(**{name: value / parts for name, value in vars(self).items()})

    def columns(self) -> tuple[str, ...]:
        sizes = [f"{size / 1000:.1f}" for size in (self.database, self.nodes, self.head)]
        return (
            f"{self.statements:.1f}",
            sizes[0],
            f"{self.asks:.1f}",
            *sizes[1:],
            f"{self.server:.3f}",
            f"{self.driver:.3f}",
        )


class Meter:
    """Counts what a server uses."""

    def __init__(self, server: RunningSandbox, engine: Engine, folder: Path) -> None:
        self._clients = server.announced["url"].removeprefix("http://")
        self._server = psutil.Process(server.process.pid)
        (self._driver,) = [each for each in self._server.children() if "driver" in " ".join(each.cmdline())]
        self._engine = engine
        self._folder = folder
        self._sockets: dict[tuple[int, str, str], int] = {}
        """Bytes by process and addresses, also of connections that are closed by now."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def read(self) -> Counts:
        time.sleep(2 * PRINTS_SECONDS)
        self._look()
        used = {"database": 0, "nodes": 0, "head": 0}
        for (pid, _own, peer), size in list(self._sockets.items()):
            if pid == self._server.pid:
                used["database"] += size
            else:
                used["head" if HEAD in peer else "nodes"] += size
        server, driver = [process.cpu_times() for process in (self._server, self._driver)]
        return Counts(
            statements=self._statements(),
            asks=self._asks(),
            server=server.user + server.system,
            driver=driver.user + driver.system,
            **used,
        )

    def _statements(self) -> int:
        query = "SELECT sum(calls) FROM pg_stat_statements s JOIN pg_roles r ON s.userid = r.oid WHERE rolname = :name"
        with self._engine.connect() as connection:
            return int(connection.scalar(text(query), {"name": USER}) or 0)

    def _asks(self) -> int:
        """How often Ray's library has called a supervisor, as its log says."""
        (log,) = self._folder.glob(f"**/logs/python-core-driver-*_{self._driver.pid}.log")
        found = re.findall(r"CoreWorkerService\.grpc_client\.PushTask - (\d+) total", log.read_text())
        return int(found[-1]) if found else 0

    def _watch(self) -> None:
        while not self._stopping.wait(1.0):
            self._look()

    def _look(self) -> None:
        done = subprocess.run([SS, "-tinpH"], capture_output=True, text=True, check=True)
        connection = ""
        for line in done.stdout.splitlines():
            if not line[0].isspace():
                connection = line
                continue
            owner = re.search(r"pid=(\d+)", connection)
            own, peer = connection.split()[3:5]
            if owner is not None and int(owner[1]) in {self._server.pid, self._driver.pid} and own != self._clients:
                sizes = re.findall(r"bytes_(?:sent|received):(\d+)", line)
                self._sockets[int(owner[1]), own, peer] = sum(map(int, sizes))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of temporary files for all processes, with a short name, for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ib", dir="/tmp"))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=20.0, help="the length of a job")
    parser.add_argument("--rounds", type=int, default=4, help="jobs for each slot")
    options = parser.parse_args()
    # The case counts.
    os.environ["RAY_event_stats_print_interval_ms"] = str(int(PRINTS_SECONDS * 1000))  # noqa: SIM112
    with (
        temporary_folder() as folder,
        running_postgresql("-c", "shared_preload_libraries=pg_stat_statements") as url,
    ):
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in ("CREATE EXTENSION pg_stat_statements", f"CREATE ROLE {USER} SUPERUSER LOGIN"):
                connection.execute(text(statement))
        cluster = RunningCluster(folder / "data", nodes=0)
        try:
            cluster.add().joined()
            run_table(cluster, url.replace("tester@", f"{USER}@"), engine, options)
        finally:
            cluster.close()
            engine.dispose()


def run_table(cluster: RunningCluster, url: str, engine: Engine, options: argparse.Namespace) -> None:
    server = RunningSandbox(cluster.data, "--executor", "ray", "--database", url)
    meter = Meter(server, engine, cluster.data.parent)
    try:
        server.push(FOLDER, {"resting/__init__.py": CODE})
        print(ROW.format(*HEADS, *PROCESSORS), flush=True)
        for nodes in sorted(options.nodes):
            while len(cluster.nodes) < nodes:
                cluster.add().joined()
            wait_for(functools.partial(_has_slots, server, nodes * SLOTS), 120)
            before, begun = meter.read(), time.monotonic()
            time.sleep(IDLE_SECONDS)
            idle = meter.read().minus(before).each(time.monotonic() - begun)
            print(ROW.format(nodes, "idle", "", "", "", *idle.columns(), _load()), flush=True)
            print(run_jobs(server, meter, engine, nodes, idle, options), flush=True)
    finally:
        meter.close()
        server.close()


def run_jobs(
    server: RunningSandbox, meter: Meter, engine: Engine, nodes: int, idle: Counts, options: argparse.Namespace
) -> str:
    count = nodes * SLOTS * options.rounds
    ideal = options.rounds * options.seconds
    before, begun = meter.read(), time.time()
    jobs = [server.train(f"{FOLDER}/resting", "resting.rest", seconds=options.seconds) for _ in range(count)]
    with engine.connect() as connection:
        query = text("SELECT count(*), max(finished) FROM jobs WHERE id = ANY(:ids) AND state = 'DONE'")
        while True:
            ended, last = connection.execute(query, {"ids": jobs}).one()
            if ended == count:
                break
            time.sleep(0.5)
    bad = [state for job in jobs if (state := server.status(job))["status"] != "OK"]
    if bad:
        raise SystemExit(f"{len(bad)} jobs failed, such as {bad[0]}")
    took = last - begun
    used = meter.read().minus(before).minus(idle, time.time() - begun).each(count)
    mark = "" if took / ideal <= GOALS.get(nodes, GOALS[8]) else "  goal missed"
    figures = (nodes, count, f"{ideal:g}", f"{took:.1f}", f"{took / ideal:.2f}")
    return ROW.format(*figures, *used.columns(), _load()) + mark


def _has_slots(server: RunningSandbox, slots: int) -> bool:
    return bool(server.call("GET", "/api/v1/sandbox/status").json()["max_jobs"] == slots)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
