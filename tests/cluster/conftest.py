import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pytest_ibmodels.sandbox.execution.ray_cluster.ray_executor import RayExecutor
from tests.cluster.running import RunningCluster
from tests.sandbox.executor_contract import Place

pytest.importorskip("ray")


@pytest.fixture(scope="session")
def short_tmp(session_patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of temporary files with a short name, for Ray's sockets, of which nothing is left."""
    folder = Path(tempfile.mkdtemp(prefix="ib", dir="/tmp"))  # pytest's own names are too long
    session_patch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def session_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def no_processes_left(short_tmp: Path) -> Iterator[None]:
    """Nothing that these tests have started outlives them. All of that has the folder of temporary files in common."""
    yield
    deadline = time.monotonic() + 20
    while left := _processes_of(short_tmp):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _processes_of(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("TMPDIR") == str(folder):
                found.append(" ".join(process.cmdline()))
    return found


@pytest.fixture(scope="session")
def place(short_tmp: Path) -> Place:
    return Place(short_tmp / "data")


@pytest.fixture(scope="session")
def cluster(place: Place, no_processes_left: None) -> Iterator[RunningCluster]:
    running = RunningCluster(place.data)
    yield running
    running.close()


@pytest.fixture(scope="session")
def executor(cluster: RunningCluster) -> Iterator[RayExecutor]:
    made = cluster.connect()
    yield made
    made.close()
