"""The rules of drive paths, over all that could be thrown at them."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath

HOSTILE = st.sampled_from(["..", ".", "", "/", "\\", "\0", "a", "fs", "~", "C:", "%2e%2e", "\ufffd", "\n", " ", "..."])
PARTS = st.one_of(HOSTILE, st.text(max_size=12))
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\ufffd", exclude_categories=["Cc"]), min_size=1, max_size=40
).filter(lambda part: part not in {".", ".."})
PATHS = st.lists(PARTS, max_size=8).map("/".join)


@given(PATHS)
def test_an_accepted_path_stays_inside(text: str) -> None:
    try:
        path = DrivePath.parse(text)
    except SandboxError:
        return
    joined = os.path.normpath(Path("/drive", *path.parts))
    assert joined.startswith("/drive/")
    assert joined == "/drive/" + str(path)
    assert "\0" not in joined
    assert "\\" not in joined


@given(PATHS)
def test_an_accepted_path_is_read_again_as_itself(text: str) -> None:
    try:
        path = DrivePath.parse(text)
    except SandboxError:
        return
    assert DrivePath.parse(str(path)) == DrivePath.parse(f"/{path}/") == path


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_plain_names_are_accepted(names: list[str]) -> None:
    assert DrivePath.parse("/".join(["o", "r", "fs", *names])).parts == ("o", "r", "fs", *names)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    folder = tmp_path_factory.mktemp("drive")
    (folder / "tmp").mkdir()
    (folder / "root").mkdir()
    return Drive(folder / "root", folder / "tmp")


@settings(deadline=None)
@given(path=PATHS.map(lambda rest: f"o/r/fs/D/{rest}"))
def test_writing_never_leaves_the_root(drive: Drive, path: str) -> None:
    above = drive.root.parent
    before = sorted(item.name for item in above.iterdir())
    try:
        checked = DrivePath.parse(path)
        drive.write(checked, b"x")
    except SandboxError:
        pass
    else:
        assert drive.read(checked) == b"x"
        assert checked.name in drive.names(checked.parent)
        drive.delete(checked, force=False)
    assert sorted(item.name for item in above.iterdir()) == before
    assert list(drive.scratch.iterdir()) == []


def test_a_link_made_by_a_job_does_not_lead_out(drive: Drive) -> None:
    folder = DrivePath.parse("o/r/fs/D/links")
    drive.make_folder(folder)
    drive.local_folder(folder).joinpath("out").symlink_to(drive.root.parent)
    for act in (
        lambda: drive.write(folder.joined("out", "x"), b"x"),
        lambda: drive.info(folder.joined("out", "x")),
        lambda: drive.names(folder.joined("out")),
        lambda: drive.delete(folder.joined("out", "tmp"), force=True),
    ):
        with pytest.raises(SandboxError, match="symbolic link"):
            act()
    drive.delete(folder.joined("out"), force=False)
    assert drive.scratch.is_dir()
