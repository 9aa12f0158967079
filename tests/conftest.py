"""Fixtures and settings of all tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.databases import database, models, postgresql, sqlite, tiny_bert
from tests.ibformers.trainable import extraction_training, tiny_layoutlm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["database", "extraction_training", "models", "postgresql", "sqlite", "tiny_bert", "tiny_layoutlm"]

ROOT = Path(__file__).resolve().parent.parent

_UNUSED = ("schemathesis", "hypothesispytest", "faker", "anyio")
"""Plugins that tests of the project need, and the pytest that they start does not: each takes long to import."""
_WITHOUT_UNUSED = " ".join(f"-p no:{plugin}" for plugin in _UNUSED)


def pytest_configure(config: pytest.Config) -> None:
    # Workers of xdist run the tests, and would take it from the environment of the process that starts them.
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        os.environ["PYTEST_ADDOPTS"] = _WITHOUT_UNUSED
        # Else every pytest that is started translates all modules of the plugin anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the slow tests unless they are asked for: `pytest tests -m slow`; begin with the longest ones."""
    # At the end, one worker would run them while the other has nothing left to steal.
    items.sort(key=lambda item: item.path.name != "test_docs_blocks.py")
    if "slow" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="trains for minutes; run it with -m slow"))


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> Iterator[pytest.Pytester]:
    """Pytester whose runs load no unused plugin: by itself it drops `PYTEST_ADDOPTS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", _WITHOUT_UNUSED)
        yield pytester


@pytest.fixture(scope="session")
def receipts() -> Path:
    """The folder of the real receipts, which lies beside a developer's clone and is no part of the project."""
    folder = ROOT.parent / "shared" / "datasets" / "sroie"
    if not (folder / "Receipts.ibannotator").is_file():
        pytest.skip(f"the receipts are not there: {folder.name}/Receipts.ibannotator beside the clone")
    return folder
