"""Sessions of many cases, run for real: pytest in a process of its own, sandboxes, a training that only sleeps.

What a session costs is measured inside it, by its own ``conftest.py``: processor time, memory, and what httpx logs of
its requests and connections.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import yaml

from tests.faults.proxy import PASSING, Fault
from tests.plugin.conftest import PROJECT, ROOT, TINY, Server, write_annotator_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

TOKEN = "token-of-hundreds"
_PLUGINS = ("-p", "pytest_ibmodels.plugin", "-p", "xdist.plugin", "-p", "pytest_timeout")
"""Ours and those that it needs; what else is installed for the project's own tests costs time of its own."""

_CONFTEST = """
import json, logging, pathlib, re, resource

COUNTS = {"requests": 0, "connections": 0}

class Count(logging.Filter):  # before all others, and keeping all back: what is only counted need not be written
    def filter(self, record):
        COUNTS["requests"] += record.msg.startswith("HTTP Request")
        COUNTS["connections"] += record.msg.startswith("connect_tcp.started")
        return False

for name, level in (("httpx", logging.INFO), ("httpcore.connection", logging.DEBUG)):
    logger = logging.getLogger(name)
    logger.setLevel(level)
    logger.addFilter(Count())

def pytest_unconfigure(config):
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss: that also counts the process that this one was forked from.
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
    facts = {"cpu": used.ru_utime + used.ru_stime, "memory": int(peak[1]) * 1024, **COUNTS}
    worker = getattr(config, "workerinput", {}).get("workerid", "main")
    (config.rootpath / f"cost-{worker}.json").write_text(json.dumps(facts))
"""


@dataclass(frozen=True)
class Measured:
    """A session that has ended.

    Attributes:
        runs: the records of its runs, as ``--model-report`` writes them.
        cpu, memory: seconds and bytes of the process that waited, or of all workers and the largest.
        first_start, last_end: Unix seconds: when a first job was begun, and when the last verdict was there.
    """

    exit_code: int
    output: str
    runs: list[dict[str, Any]]
    cpu: float
    memory: int
    requests: int
    connections: int
    first_start: float
    last_end: float

    @property
    def seconds(self) -> float:
        return self.last_end - self.first_start


@contextlib.contextmanager
def sandbox(folder: Path, *, max_jobs: int, token: str = TOKEN, preload: bool = False) -> Iterator[Server]:
    """A sandbox with room for all, whose jobs need none of what training needs, unless it is preloaded."""
    folder.mkdir()
    write_annotator_project(folder / "project")
    (folder / "token").write_text(token)
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--announce", "--exit-with-parent"]
    command += ["--data", str(folder / "data"), "--token-file", str(folder / "token")]
    command += [] if preload else ["--no-preload"]
    command += ["--max-jobs", str(max_jobs), "--mount", f"{PROJECT.rpartition('/')[0]}={folder / 'project'}"]
    with (
        (folder / "stderr").open("w") as stderr,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        yield Server(json.loads(process.stdout.readline())["url"], folder / "data")
        process.stdin.close()
        assert process.wait(20) == 0


def run_session(
    folder: Path,
    cases: Mapping[str, Mapping[str, object]],
    urls: Mapping[str, str],
    *options: str,
    data: tuple[Path, ...] = (),
    timeout: float = 600,
) -> Measured:
    """Run pytest on a project of these cases.

    Args:
        cases: name → keys of its entry; ``env`` is all of ``urls``, unless it says otherwise.
        urls: environment → address.
        data: the folders of the sandboxes behind them, for when their first job began.
    """
    folder.mkdir()
    shutil.copytree(TINY, folder / "tiny", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pytest.ini").write_text("[pytest]\nibmodels_package = tiny\n")
    (folder / "conftest.py").write_text(_CONFTEST)
    entries = {name: {"host": url, "path": ROOT, "token": "${HUNDREDS_TOKEN}"} for name, url in urls.items()}
    (folder / "environments.yaml").write_text(yaml.safe_dump(entries))
    defaults = {"env": list(urls), "ibannotator": PROJECT, "time_limit": 300}
    tests = {name: {**defaults, **keys} for name, keys in cases.items()}
    (folder / "model_tests.yaml").write_text(yaml.safe_dump(tests, sort_keys=False))
    command = [sys.executable, "-m", "pytest", *_PLUGINS, "-q", "--model-report", "report.json", *options]
    environ = {**os.environ, "HUNDREDS_TOKEN": TOKEN, "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else pytest translates all modules of the plugin each time
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=timeout, check=False
    )
    runs = json.loads((folder / "report.json").read_text())["runs"]
    costs = [json.loads(path.read_text()) for path in folder.glob("cost-*.json")]
    return Measured(
        exit_code=done.returncode,
        output=done.stdout + done.stderr,
        runs=runs,
        cpu=sum(cost["cpu"] for cost in costs),
        memory=max(cost["memory"] for cost in costs),
        requests=sum(cost["requests"] for cost in costs),
        connections=sum(cost["connections"] for cost in costs),
        first_start=min((begun for path in data if (begun := _first_start(path)) is not None), default=0.0),
        last_end=max((_moment(run["finished"]) for run in runs if run["finished"]), default=0.0),
    )


def _first_start(data: Path) -> float | None:
    with contextlib.closing(sqlite3.connect(data / "sandbox.sqlite")) as store:
        begun: float | None = store.execute("select min(started) from jobs where kind = 'train'").fetchone()[0]
        return begun


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def good_cases(count: int, seconds: float) -> dict[str, dict[str, object]]:
    """Cases that train for so long, reporting their progress, and pass."""
    config = {"sleep": seconds, "every": max(0.1, seconds / 20)}
    return {f"Good{number}": {"config": config, "metrics": {"f1": {"Name": 0.9}}} for number in range(count)}


def good_and_bad(count: int, seconds: float) -> dict[str, dict[str, object]]:
    """So many cases that pass, and beside them, each a twentieth of them, three kinds of those that do not."""
    few = range(max(1, count // 20))
    config: dict[str, object] = {"sleep": seconds}
    return {
        **good_cases(count, seconds),
        **{f"Low{number}": {"config": config, "metrics": {"f1": {"Name": 1.01}}} for number in few},
        **{f"Boom{number}": {"config": {**config, "raise": f"boom {number}"}} for number in few},
        **{f"Spoiled{number}": {"config": {**config, "corrupt": "Name"}} for number in few},
    }


def one_in_twenty() -> tuple[Callable[[str], Fault | None], list[Fault]]:
    """Faults for one request in twenty, the same ones each time: what a proxy asks, and the list of those it met."""
    chance = random.Random(20)  # noqa: S311 - the same faults each time
    kinds = [*PASSING, Fault("hang", "late", seconds=2.0)]
    met: list[Fault] = []

    def choose(_what: str) -> Fault | None:
        if chance.random() >= 0.05:
            return None
        met.append(chance.choice(kinds))
        return met[-1]

    return choose, met


_MEANT = {
    "Good": ("passed", "passed"),
    "Low": ("metrics", "skipped"),
    "Boom": ("training failed", "skipped"),
    "Spoiled": ("passed", "predictions differ"),
}


def not_as_meant(runs: list[dict[str, Any]]) -> list[tuple[str, object]]:
    """Those of :func:`good_and_bad` that did not end as they should, and how they did."""
    wrong: list[tuple[str, object]] = []
    for run in runs:
        name = run["test"].rstrip("0123456789")
        ended = tuple(_ended(run[phase]) for phase in ("training", "inference"))
        reason = (run["training"]["failure"] or {}).get("reason", "")
        if ended != _MEANT[name]:
            wrong.append((run["test"], ended))
        elif name == "Boom" and not reason.endswith(f"boom {run['test'].removeprefix(name)}"):
            wrong.append((run["test"], reason))
    return wrong


def _ended(phase: dict[str, Any]) -> str:
    return str(phase["failure"]["kind"] if phase["failure"] else phase["outcome"])
