"""The history with many rows: `ibmodels history TEST`, its page, and adding a run.

    python benchmarks/history_store.py [--rows 100000]

A SQLite history of a project with 10 model tests on 2 environments, 10 metrics a run. The command is timed as a process
of its own, from its start to its end, with translated modules as after an installation; adding a run, as pytest does it
at the end of a session, with and without the first import of SQLAlchemy.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_ibmodels.history.runs import StoredRun

TESTS, ENVIRONMENTS, METRICS = 10, 2, 10
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
ADD = """
import sys, time
begun = time.perf_counter()
from pytest_ibmodels.history.store import History
from benchmarks.history_store import make_run
imported = time.perf_counter()
with History.open(sys.argv[1]) as history:
    history.add(make_run(0))
print(imported - begun, time.perf_counter() - imported)
"""


def make_run(number: int) -> StoredRun:
    from pytest_ibmodels.history.runs import StoredMetric, StoredRun
    from pytest_ibmodels.verdicts.results import WordCounts

    metrics = tuple(
        StoredMetric("f1", f"Field {index}", 0.9 + (number * 7 + index) % 11 / 1000, 0.85, 0.95, 0.8, None, 400)
        for index in range(METRICS)
    )
    return StoredRun(
        id=uuid.uuid4().hex,
        project="benchmark",
        test=f"Test {number % TESTS}",
        environment=f"environment-{number // TESTS % ENVIRONMENTS}",
        started=BEGIN + timedelta(minutes=10 * number),
        verdict="passed",
        fingerprint="f" * 32,
        documents={f"document-{index}.pdf": {"Name": WordCounts(2, 2, 2, int(index % 9 > 0))} for index in range(100)},
        metrics=metrics,
    )


def seconds(command: list[str], folder: Path, repeats: int) -> str:
    """Wall time and processor time; other programs on the machine lengthen the first only."""
    walls, processors = [], []
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for _ in range(repeats):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - begun)
        processors.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return f"{statistics.median(walls):.2f} s (processor: {statistics.median(processors):.2f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    from pytest_ibmodels.history.store import History

    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "pyproject.toml").write_text('[project]\nname = "benchmark"\n')
        url = f"sqlite:///{folder}/history.sqlite"
        os.environ["IBMODELS_HISTORY"] = url
        # The command reads pytest's settings; plugins of a developer's environment take a second to import.
        unused = ("schemathesis", "hypothesispytest", "faker", "anyio")
        os.environ["PYTEST_ADDOPTS"] = " ".join(f"-p no:{plugin}" for plugin in unused)
        with History.open(url) as history:
            history.add(*map(make_run, range(arguments.rows // METRICS)))
            adding = []
            for number in range(20):
                begun = time.perf_counter()
                history.add(make_run(number))
                adding.append(time.perf_counter() - begun)
        # Else every process translates all modules of the plugin anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "translated")
        program = [sys.executable, "-c", "from pytest_ibmodels.cli import main; raise SystemExit(main())"]
        print(f"{arguments.rows} rows, {(folder / 'history.sqlite').stat().st_size / 1e6:.0f} MB")
        page = folder / "page.html"
        for options, goal in (
            ([], ""),
            (["Test 3"], ", goal: less than 1 s"),
            (["Test 3", "--last", "1000"], ""),
            (["--last", "1000000"], ""),
            (["--html", page.name], ", goal: less than 5 s"),
            (["Test 3", "--html", page.name], ""),
        ):
            shown = " ".join(["ibmodels", "history", *options])
            taken = seconds([*program, "history", *options], folder, arguments.repeats)
            size = f", {page.stat().st_size / 1e6:.1f} MB" if "--html" in options else ""
            print(f"{shown}: {taken}{goal}{size}")
        print(f"ibmodels --version: {seconds([*program, '--version'], folder, arguments.repeats)}")
        print(f"add a run to an open history: {statistics.median(adding) * 1000:.1f} ms (goal: less than 50 ms)")
        environment = os.environ | {"PYTHONPATH": str(root)}
        times = []
        for _ in range(arguments.repeats):
            done = subprocess.run(
                [sys.executable, "-c", ADD, url], env=environment, check=True, capture_output=True, text=True
            )
            times.append([float(text) for text in done.stdout.split()])
        imports, adds = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
        print(f"once a session: import SQLAlchemy {imports:.0f} ms, open, check and add {adds:.1f} ms")


if __name__ == "__main__":
    main()
