"""What a listing shows, of which nothing may make it fail, and how long it takes."""

import os
import socket
import time
from pathlib import Path

import pytest

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.storage.archives import pack
from pytest_ibmodels.sandbox.storage.drive import PAGE_SIZE, Drive
from pytest_ibmodels.sandbox.storage.mounts import Mount
from pytest_ibmodels.sandbox.storage.paths import DrivePath

AT = DrivePath.parse("a/r/fs/D/m")
ODD = ["a\\b", "line\nfeed", "tab\t", "\ufffd", "bell\x07", "del\x7f"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shown"
    made.mkdir()
    return made.resolve()


@pytest.fixture
def drive(tmp_path: Path, folder: Path) -> Drive:
    (tmp_path / "tmp").mkdir()
    return Drive(tmp_path / "drive", tmp_path / "tmp", [Mount(AT, str(folder), tmp_path)])


def fill_with_what_cannot_be_shown(folder: Path) -> None:
    (folder / "good").write_text("good")
    (folder / "sub").mkdir()
    (folder / "inside").symlink_to("good")
    for name in ODD:
        (folder / name).touch()
    (folder / "out").symlink_to("/etc/hostname")
    (folder / "out-folder").symlink_to("/etc")
    (folder / "nowhere").symlink_to("none")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(folder)  # the name of a socket is short
        try:
            server.bind("socket")
        finally:
            os.chdir(before)
    (folder / "plain").touch()
    with open(os.fsencode(folder) + b"/latin-\xe9", "wb"):  # noqa: PTH123 - a name that is no text
        pass


def test_what_no_request_could_name_is_left_out(drive: Drive, folder: Path, tmp_path: Path) -> None:
    fill_with_what_cannot_be_shown(folder)
    assert drive.names(AT) == ["good", "inside", "plain", "sub"]
    assert [(info.path.name, info.type) for info in drive.page(AT, "")[0]] == [
        ("good", "file"), ("inside", "file"), ("plain", "file"), ("sub", "folder"),
    ]  # fmt: skip
    pack(drive, AT, tmp_path / "packed.zip")
    copied = DrivePath.parse("a/r/fs/D/copied")
    drive.copy(AT, copied)
    assert drive.names(copied) == ["good", "plain", "sub"]


@pytest.mark.parametrize(("name", "said"), [("out", "symbolic link"), ("pipe", "neither a file"), ("loop", "symbolic")])
def test_what_is_not_shown_is_refused_where_it_is_named(drive: Drive, folder: Path, name: str, said: str) -> None:
    fill_with_what_cannot_be_shown(folder)
    with pytest.raises(SandboxError, match=said):
        drive.open(AT.joined(name))


def test_a_listing_follows_what_changes(drive: Drive, folder: Path) -> None:
    own = DrivePath.parse("a/r/fs/D/own")
    for number in range(30):
        drive.write(own.joined(f"{number:02}"), b"")
        assert len(drive.names(own)) == number + 1
        (folder / f"{number:02}").touch()
        assert len(drive.names(AT)) == number + 1
        if number % 10 == 9:
            time.sleep(0.3)
    drive.delete(own.joined("00"), force=False)
    drive.move(own.joined("01"), own.joined("99"))
    assert drive.names(own) == [*(f"{number:02}" for number in range(2, 30)), "99"]


def test_pages_of_a_listing_read_the_folder_once(drive: Drive, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3 * PAGE_SIZE + 7):
        (folder / f"{number:05}").touch()
    time.sleep(0.3)
    read: list[Path] = []
    scandir = os.scandir

    def noted(path: Path) -> object:
        read.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    found, after = [], ""
    while True:
        page, after = drive.page(AT, after)
        found += [info.path.name for info in page]
        if not after:
            break
    assert found == [f"{number:05}" for number in range(3 * PAGE_SIZE + 7)]
    assert len(read) == 1
    # What has gone since is not shown; the token of a page is a name, whether it is there or not.
    (folder / "00000").unlink()
    assert drive.page(AT, "")[0][0].path.name == "00001"
    assert len(read) == 2


def test_a_long_listing_takes_a_tenth_of_a_millisecond_for_each_file(drive: Drive, folder: Path) -> None:
    for number in range(30_000):
        (folder / f"file-{number:06}.json").touch()
    time.sleep(0.3)
    began, after, count = time.process_time(), "", 0
    while True:
        page, after = drive.page(AT, after)
        count += len(page)
        if not after:
            break
    assert count == 30_000
    assert time.process_time() - began < 3


def test_a_name_that_only_looks_the_same_is_told(drive: Drive, folder: Path) -> None:
    (folder / "Mu\u0308ller").mkdir()
    (folder / "Mu\u0308ller" / "x").touch()
    with pytest.raises(SandboxError, match=r"does not exist; there is a 'Mu\\u0308ller', which looks the same"):
        drive.open(AT.joined("M\u00fcller", "x"))
    with pytest.raises(SandboxError, match="does not exist$"):
        drive.open(AT.joined("M\u00f6ller", "x"))
