"""Fixtures and settings of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.databases import database, models, postgresql, sqlite, tiny_bert

__all__ = ["database", "models", "postgresql", "sqlite", "tiny_bert"]

ROOT = Path(__file__).resolve().parent.parent

_UNUSED = ("schemathesis", "hypothesispytest", "faker", "anyio")
"""Plugins that tests of the project need, and the pytest that they start does not: each takes long to import."""


def pytest_configure(config: pytest.Config) -> None:
    # Workers of xdist run the tests, and would take it from the environment of the process that starts them.
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        os.environ["PYTEST_ADDOPTS"] = " ".join(f"-p no:{plugin}" for plugin in _UNUSED)
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


@pytest.fixture(scope="session")
def receipts() -> Path:
    """The folder of the real receipts, which lies beside a developer's clone and is no part of the project."""
    folder = ROOT.parent / "shared" / "datasets" / "sroie"
    if not (folder / "Receipts.ibannotator").is_file():
        pytest.skip(f"the receipts are not there: {folder.name}/Receipts.ibannotator beside the clone")
    return folder
