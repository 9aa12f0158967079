"""One data folder for several servers: who may use it, and how they keep out of each other's way."""

from __future__ import annotations

import contextlib
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.sandbox.errors import BusyError, DataInUseError, SandboxError
from pytest_ibmodels.sandbox.services.marketplace import Marketplace, applications_mount
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage import data_folder, locks
from pytest_ibmodels.sandbox.storage.audit import Audit
from pytest_ibmodels.sandbox.storage.data_folder import DataFolder, remove_old_scratch
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_secrets import delete_secrets, read_secrets, write_secrets
from pytest_ibmodels.sandbox.storage.locks import SharedPathLocks
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from pytest_ibmodels.sandbox.storage.stores import open_store
from tests.databases import empty_database
from tests.sandbox.running import zipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def urls(postgresql: str) -> tuple[str, str]:
    """The URLs of two empty databases."""
    return empty_database(postgresql), empty_database(postgresql)


@contextlib.contextmanager
def server(data: Path, url: str, owner: str) -> Iterator[DataFolder]:
    """Use a data folder and a store as a server does from its start on."""
    with (
        contextlib.closing(DataFolder(data, is_shared=True)) as folder,
        contextlib.closing(open_store(url, owner, folder)),
    ):
        folder.let_others_in()
        yield folder


def test_servers_of_one_database_share_the_folder_and_no_others(
    tmp_path: Path, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "_STALE_SECONDS", 0.2)
    data = tmp_path / "data"
    with server(data, urls[0], "a") as first, server(data, urls[0], "b") as second:
        assert (first.is_alone, second.is_alone, first.id == second.id) == (True, False, True)
        with pytest.raises(DataInUseError, match="in use by sandboxes that share a PostgreSQL database; give this one"):
            DataFolder(data, is_shared=False)
        with (
            pytest.raises(DataInUseError, match="the data folder is in use by a sandbox with another database"),
            server(data, urls[1], "c"),
        ):
            pass
        with (
            pytest.raises(DataInUseError, match="the database is in use by a sandbox on .* with another data folder"),
            server(tmp_path / "elsewhere", urls[0], "c"),
        ):
            pass
    with contextlib.closing(DataFolder(data, is_shared=False)) as alone:
        assert alone.is_alone
        with pytest.raises(DataInUseError, match=r"\(process \d+\) with a database of its own; give both the same"):
            DataFolder(data, is_shared=True)
    # All are gone, so that the folder and the database may meet others.
    with server(data, urls[1], "d"), server(tmp_path / "elsewhere", urls[0], "e"):
        pass


def test_a_second_server_waits_for_the_start_of_the_first(tmp_path: Path) -> None:
    starting = DataFolder(tmp_path, is_shared=True)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(DataFolder, tmp_path, is_shared=True)
        time.sleep(0.2)
        assert not second.done()
        starting.let_others_in()
        assert not second.result(10).is_alone
        second.result().close()
    starting.close()


def test_temporary_files_of_servers_that_are_gone_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("living", "gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "upload").write_text("x")
    remove_old_scratch(tmp_path, {"living"})
    assert (tmp_path / "gone").exists(), "it may have ended a moment ago"
    monkeypatch.setattr(data_folder, "SCRATCH_SECONDS", -1.0)
    remove_old_scratch(tmp_path, {"living"})
    assert [folder.name for folder in tmp_path.iterdir()] == ["living"]


# --- locks ---


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return tmp_path / "drive"


@pytest.mark.parametrize(
    ("theirs", "ours"), [("a/b", "a/b"), ("a", "a/b/c"), ("a/b/c", "a")], ids=["the same", "below", "above"]
)
def test_a_path_that_another_server_changes_is_waited_for(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch, theirs: str, ours: str
) -> None:
    # Another open file has a lock of its own, as another process has.
    mine, other = (SharedPathLocks(tmp_path / "locks", tmp_path) for _ in range(2))
    monkeypatch.setattr(locks, "_LOCK_SECONDS", 0.05)
    with other.hold(drive / theirs):
        with pytest.raises(BusyError, match="another server of this sandbox has been"), mine.hold(drive / ours):
            pass
        with mine.hold(drive / "x" / "y", drive / "a2"):
            pass
    with mine.hold(drive / ours, drive / theirs):
        pass


def test_changes_of_many_paths_never_block_each_other_for_good(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few files, so that many paths share one.
    monkeypatch.setattr(locks, "_LOCK_FILES", 5)
    servers = [SharedPathLocks(tmp_path / "locks", tmp_path) for _ in range(2)]
    inside: list[str] = []
    most = []

    def change(number: int) -> None:
        paths = [drive / f"{(number * step) % 7}" / f"{number % 3}" for step in (1, 3, 5)]
        with servers[number % 2].hold(*paths, drive / "common"):
            inside.append("x")
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(60)))
    assert set(most) == {1}


# --- packages ---


def test_two_servers_publish_the_same_version(tmp_path: Path, urls: tuple[str, str]) -> None:
    settings = Settings(tmp_path, database=urls[0])
    settings.drive_root.mkdir()
    shops = []
    with contextlib.ExitStack() as stack:
        for owner in ("a", "b"):
            store = stack.enter_context(contextlib.closing(open_store(urls[0], owner)))
            scratch = settings.scratch / owner
            scratch.mkdir(parents=True)
            shared = SharedPathLocks(settings.locks_root, tmp_path)
            drive = Drive(settings.drive_root, scratch, [applications_mount(settings)], shared)
            shops.append((drive, Marketplace(settings, drive, store, Audit(store.database), shared)))
        path = DrivePath.parse("a/b/fs/c/x.ibsolution")
        shops[0][0].write(path, zipped({"package.json": '{"name": "p", "version": "1.0.0"}', "p/__init__.py": ""}))

        def publish(market: Marketplace) -> str:
            try:
                market.publish(path, "ada")
            except SandboxError as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(2) as pool:
            answers = sorted(pool.map(publish, [market for _drive, market in shops]))
        assert answers[0] == ""
        assert answers[1].startswith("publish: p 1.0.0 is published already, nothing was changed")
        for _drive, market in shops:
            assert [(app.name, app.available_versions) for app in market.apps()] == [("p", ["1.0.0"])]
        shops[1][1].install("p", "1.0.0", "ada")
        assert shops[0][1].apps()[0].installed_versions == ["1.0.0"]


# --- secrets ---


def test_the_secrets_of_a_job(tmp_path: Path) -> None:
    assert read_secrets(tmp_path) == {}
    secrets = {"database": "postgresql://me:s3cret@h/db"}
    write_secrets(tmp_path, secrets)
    file = next(tmp_path.iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_secrets(tmp_path) == secrets
    file.write_text('{"database": "s3cret')
    with pytest.raises(SandboxError, match="damaged") as caught:
        read_secrets(tmp_path)
    assert "s3cret" not in str(caught.value)
    delete_secrets(tmp_path)
    delete_secrets(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SandboxError, match="the job's secrets could not be written: No such file"):
        write_secrets(tmp_path / "missing", secrets)
