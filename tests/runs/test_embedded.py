from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.runs.embedded import EmbeddedSandbox
from pytest_ibmodels.runs.failures import EnvironmentUnavailable

if TYPE_CHECKING:
    from pathlib import Path


async def start_and_stop(data: Path) -> EmbeddedSandbox:
    sandbox = await EmbeddedSandbox.start(mounts={}, data=data)
    await sandbox.stop()
    return sandbox


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find_spec = importlib.util.find_spec
    # An interpreter without the extra cannot be had in the middle of a test.
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in {"torch", "fastapi"} else find_spec(name)
    )
    with pytest.raises(EnvironmentUnavailable) as caught:
        asyncio.run(start_and_stop(tmp_path))
    assert str(caught.value) == (
        "the sandbox needs packages that are not installed (fastapi, torch): "
        "pip install 'pytest-ibmodels[sandbox]', or pip install -e '.[sandbox]' in a clone"
    )


def test_a_data_folder_that_cannot_be_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentUnavailable, match="the sandbox did not start: .*file.* cannot be used"):
        asyncio.run(start_and_stop(tmp_path / "file"))


def test_a_data_folder_in_use_says_so(tmp_path: Path) -> None:
    async def twice() -> None:
        first = await EmbeddedSandbox.start(mounts={}, data=tmp_path)
        try:
            await start_and_stop(tmp_path)
        finally:
            await first.stop()

    with pytest.raises(EnvironmentUnavailable, match="is in use by another sandbox"):
        asyncio.run(twice())


def test_a_stopped_sandbox_has_ended(tmp_path: Path) -> None:
    assert asyncio.run(start_and_stop(tmp_path)).has_ended
