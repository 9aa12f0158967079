from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

from pytest_ibmodels.engine.failures import EnvironmentUnavailable
from pytest_ibmodels.engine.sandbox_process import EmbeddedSandbox


async def start_and_stop(data: Path) -> EmbeddedSandbox:
    sandbox = await EmbeddedSandbox.start(mounts={}, data=data)
    await sandbox.stop()
    return sandbox


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find_spec = importlib.util.find_spec
    # An interpreter without the extra cannot be had in the middle of a test.
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in {"psutil", "fastapi"} else find_spec(name)
    )
    with pytest.raises(EnvironmentUnavailable) as caught:
        asyncio.run(start_and_stop(tmp_path))
    assert str(caught.value) == (
        "the sandbox needs packages that are not installed (fastapi, psutil): "
        "run pip install 'pytest-ibmodels[sandbox]'"
    )


def test_a_data_folder_that_cannot_be_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentUnavailable, match="the sandbox did not start: .*file.* cannot be used"):
        asyncio.run(start_and_stop(tmp_path / "file"))


@pytest.mark.parametrize("spoil", ["no interpreter", "a null byte", "no scratch folder", "it dies at once"])
def test_a_sandbox_that_cannot_start_leaves_no_folder_with_its_token(
    spoil: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    if spoil != "no scratch folder":
        scratch.mkdir()
    if spoil == "no interpreter":
        monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    if spoil == "it dies at once":
        monkeypatch.setattr(sys, "executable", "/bin/false")
    data = tmp_path / ("a\0b" if spoil == "a null byte" else "data")
    with pytest.raises(EnvironmentUnavailable, match="the sandbox did not start: "):
        asyncio.run(start_and_stop(data))
    assert not scratch.exists() or list(scratch.iterdir()) == []


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


def test_a_sandbox_that_runs_has_its_token_in_no_file_and_nothing_of_its_users_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOGFOOD_TOKEN", "token-of-the-user")
    monkeypatch.setenv("HF_TOKEN", "token-of-the-user")

    def written(sandbox: EmbeddedSandbox) -> str:
        process = Path(f"/proc/{sandbox._process.pid}")
        files = [file for folder in (sandbox._scratch, tmp_path) for file in folder.rglob("*") if file.is_file()]
        files += [process / name for name in ("environ", "cmdline") if process.exists()]
        return "".join(file.read_bytes().decode(errors="replace") for file in files)

    async def look() -> tuple[str, str]:
        sandbox = await EmbeddedSandbox.start(mounts={}, data=tmp_path / "data", code=tmp_path / "code")
        try:
            return sandbox.token.get_secret_value(), written(sandbox)
        finally:
            await sandbox.stop()

    token, seen = asyncio.run(look())
    assert f"--preload-for\0{tmp_path / 'code'}" in seen
    assert token not in seen
    assert "token-of-the-user" not in seen
