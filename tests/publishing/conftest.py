"""Two sandboxes, an address at which nothing listens, and packages of each test's own."""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml

from pytest_ibmodels.packaging import build_marketplace_package
from pytest_ibmodels.spec import load_environments
from tests.publishing.gateway import Gateway
from tests.sandbox.running import TOKEN, RunningSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment

ROOT = "acme/ci/fs/Drive/publishing"


@pytest.fixture(scope="session")
def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSandbox, RunningSandbox]]:
    folder = tmp_path_factory.mktemp("publishing")
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(RunningSandbox, [folder / "first", folder / "second"])
    yield first, second
    for running in (first, second):
        running.close()


@pytest.fixture(scope="session")
def dead_address() -> Iterator[str]:
    """Nothing answers there, and nothing else can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def gateway(sandboxes: tuple[RunningSandbox, RunningSandbox]) -> Iterator[Gateway]:
    """Before the first sandbox."""
    gateway = Gateway(sandboxes[0].announced["url"])
    yield gateway
    gateway.close()


@dataclass(frozen=True)
class Shop:
    """A project in a folder of its own, whose package has a name that no other test's has."""

    folder: Path
    package_name: str

    def write_package(self, version: str = "1.0.0", **more: object) -> None:
        description = {"name": self.package_name, "version": version, "solution_type": "pypkg", **more}
        (self.folder / "shop").mkdir(exist_ok=True)
        (self.folder / "shop" / "code.py").write_text("x = 1\n")
        (self.folder / "shop" / "package.json").write_text(json.dumps(description))

    def write_environments(self, **entries: dict[str, object]) -> None:
        defaults = {"path": ROOT, "token": "${SHOP_TOKEN}"}
        entries = {name: {**defaults, **entry} for name, entry in entries.items()}
        (self.folder / "environments.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))

    def package(self) -> Package:
        return build_marketplace_package(self.folder / "shop")

    def environment(self, url: str) -> Environment:
        self.write_environments(only={"host": url})
        return load_environments(self.folder / "environments.yaml").environments["only"]


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A project that is the current folder, with package 1.0.0 and no environments yet."""
    shop = Shop(tmp_path, re.sub("[^a-z]+", "-", request.node.name.removeprefix("test_")).strip("-"))
    shop.write_package()
    (tmp_path / "pytest.ini").write_text("[pytest]\nibmodels_package = shop\naddopts = -m 'not slow'\n")
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return shop


@pytest.fixture
def three(shop: Shop, sandboxes: tuple[RunningSandbox, RunningSandbox], dead_address: str) -> Shop:
    """The project with the environments `dogfood` and `staging`, which answer, and `dead`, which does not."""
    dogfood, staging = (running.announced["url"] for running in sandboxes)
    shop.write_environments(dogfood={"host": dogfood}, staging={"host": staging}, dead={"host": dead_address})
    return shop


@pytest.fixture
def uploads(sandboxes: tuple[RunningSandbox, RunningSandbox]) -> Iterator[None]:
    """Nothing that was uploaded is left behind, whatever the test did."""
    yield
    left = [name for running in sandboxes if running.exists(ROOT) for name in running.names(ROOT)]
    assert left == []
