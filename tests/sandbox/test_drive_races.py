"""Writes, reads and deletions of a drive at the same time."""

import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from tests.sandbox.running import RunningSandbox


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    (tmp_path / "tmp").mkdir()
    return Drive(tmp_path / "drive", tmp_path / "tmp")


FOLDER = DrivePath.parse("a/b/fs/c/folder")


WHOLE = b"w" * 5000


def change(drive: Drive, kind: str, folder: DrivePath) -> None:
    file = folder.joined("file")
    match kind:
        case "write":
            drive.write(file, WHOLE)
        case "delete":
            drive.delete(file, force=False)
        case "delete the folder":
            drive.delete(folder, force=True)
        case "move":
            drive.move(file, folder.joined("moved"))
        case "move the folder":
            drive.move(folder, folder.parent.joined("elsewhere"))
        case "copy":
            drive.copy(folder.joined("other"), file)


@pytest.mark.parametrize("through_link", [False, True])
@pytest.mark.parametrize("kind", ["write", "delete", "delete the folder", "move", "move the folder", "copy"])
def test_what_comes_in_a_write_at_a_cursor_comes_before_or_after_it(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, kind: str, through_link: bool
) -> None:
    drive.write(FOLDER.joined("file"), b"-" * 5000)
    drive.write(FOLDER.joined("other"), WHOLE)
    link = FOLDER.parent.joined("link")
    (drive.root / str(link)).symlink_to("folder")
    begun, copyfile = threading.Event(), shutil.copyfile

    def slow_copy(source: Path, target: Path) -> None:
        copyfile(source, target)
        if Path(source).name == "file":
            begun.set()
            time.sleep(0.3)

    monkeypatch.setattr(shutil, "copyfile", slow_copy)
    upload = drive.new_scratch()
    upload.write_bytes(b"X" * 10)
    with ThreadPoolExecutor() as pool:
        path = (link if through_link else FOLDER).joined("file")
        patched = pool.submit(drive.patch, path, upload, 100)
        assert begun.wait(10)
        change(drive, kind, FOLDER)
        patched.result()
    found = {str(path): drive.read(path).count(b"X") for path in all_files(drive, FOLDER.parent)}
    at = {"move": "folder/moved", "move the folder": "elsewhere/file"}
    expected = {f"{FOLDER.parent}/{at[kind]}": 10} if kind in at else {}
    assert {name: count for name, count in found.items() if count} == expected
    assert (f"{FOLDER}/file" in found) == (kind in {"write", "copy"})
    assert list(drive.scratch.iterdir()) == []


def all_files(drive: Drive, folder: DrivePath) -> list[DrivePath]:
    paths = [folder.joined(name) for name in drive.names(folder) if name != "link"]
    found: list[DrivePath] = []
    for path in paths:
        info = drive.info(path)
        found += all_files(drive, path) if info and info.type == "folder" else [path]
    return found


def test_a_write_of_a_jobs_process_in_between_is_seen(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    file, copyfile = FOLDER.joined("file"), shutil.copyfile
    of_job: Drive = pickle.loads(pickle.dumps(drive))  # noqa: S301 - as multiprocessing does
    drive.write(file, b"-" * 10)

    def copy_before_the_job_writes(source: Path, target: Path) -> None:
        copyfile(source, target)
        if of_job.read(file) == b"-" * 10:
            of_job.write(file, b"job" * 10)

    monkeypatch.setattr(shutil, "copyfile", copy_before_the_job_writes)
    upload = drive.new_scratch()
    upload.write_bytes(b"X")
    drive.patch(file, upload, 0)
    assert drive.read(file) == b"Xob" + b"job" * 9


def test_a_read_that_races_a_delete_says_that_nothing_is_there(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = FOLDER.joined("file")
    for act in (
        lambda: drive.open(file),
        lambda: drive.delete(file, force=False),
        lambda: drive.names(FOLDER),
        lambda: drive.copy(file, FOLDER.joined("copy")),
    ):
        drive.write(file, b"x")
        look = os.stat

        def gone_after(path: Any, *others: Any, look: Any = look, **options: Any) -> os.stat_result:
            found: os.stat_result = look(path, *others, **options)
            if str(path) in {f"{drive.root}/{FOLDER}", f"{drive.root}/{file}"}:
                monkeypatch.undo()
                shutil.rmtree(drive.root / str(FOLDER))
            return found

        for name in ("stat", "lstat"):
            monkeypatch.setattr(os, name, gone_after)
        with pytest.raises(SandboxError, match="does not exist") as refused:
            act()
        monkeypatch.undo()
        # What has an error of the system as its cause is logged as one of the server's.
        assert refused.value.__cause__ is None


def test_an_upload_at_the_last_moment_is_not_deleted_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    drive = Drive(tmp_path / "drive", tmp_path / "tmp")
    folder = DrivePath.parse("a/b/fs/c/folder")
    drive.make_folder(folder)

    def upload_before(step: Callable[..., None]) -> Callable[..., None]:
        def act(path: str | Path, *others: Any, **options: Any) -> None:
            local = drive.root / str(folder)
            if Path(path) == local:
                (local / "upload").write_text("x")
            step(path, *others, **options)

        return act

    # Whichever step takes the folder away: the upload arrives just before.
    for name in ("rmdir", "rename"):
        monkeypatch.setattr(os, name, upload_before(getattr(os, name)))
    with pytest.raises(SandboxError, match="is not empty; delete it with force"):
        drive.delete(folder, force=False)
    assert drive.read(folder.joined("upload")) == b"x"


def test_uploads_at_the_same_time(sandbox: RunningSandbox, root: str) -> None:
    contents = [bytes([number]) * 300_000 for number in range(24)]

    def upload(number: int) -> bytes:
        sandbox.write(f"{root}/{number}", contents[number])
        sandbox.write(f"{root}/same", contents[number])
        return sandbox.read(f"{root}/{number}")

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(upload, range(24))) == contents
    assert sandbox.read(f"{root}/same") in contents
