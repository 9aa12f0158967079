import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.running import RunningSandbox

MAX_BODY_MIB = 2


@pytest.fixture(scope="session")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local folder that the sandbox shows read-only."""
    folder = tmp_path_factory.mktemp("mounted")
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text("mounted")
    (folder / "outside").symlink_to("/etc")
    return folder


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, mounted: Path) -> Iterator[RunningSandbox]:
    """One running sandbox for all tests; each works in a folder of its own."""
    running = RunningSandbox(
        tmp_path_factory.mktemp("sandbox") / "data",
        "--mount", f"acme/mounts/fs/Mounted/local={mounted}",
        "--mount", "acme/mounts/fs/Mounted/deeper/licenses=sample:drivers-licenses",
        "--max-body", str(MAX_BODY_MIB),
        "--job-memory", "0.3",
        "--max-jobs", "2",
        environ={"SOME_SECRET": "hunter2"},
    )  # fmt: skip
    yield running
    running.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningSandbox]]:
    """Starts further sandboxes, below ``tmp_path / "data"`` unless told otherwise."""
    started: list[RunningSandbox] = []

    def start_one(*options: str, data: Path = tmp_path / "data", **others: Any) -> RunningSandbox:
        started.append(RunningSandbox(data, *options, **others))
        return started[-1]

    yield start_one
    for running in started:
        running.close()


@pytest.fixture
def root(request: pytest.FixtureRequest) -> str:
    """A drive folder of the test's own."""
    return f"acme/repo/fs/Instabase Drive/{re.sub('[^a-z0-9]+', '-', request.node.name.lower())}"
