"""Changes of the model in use, killed at every step: readers find the old model or the new one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import warnings
from pathlib import PosixPath
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from ibformers.errors import NoCandidate
from ibformers.registry.store import AS_DOWNLOADED, ModelStore, Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.symlink", "os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.copytree", "open"}


def stage(models: ModelStore, text: str) -> Version:
    with models.training() as work:
        (work / "version" / "model").mkdir(parents=True)
        write(work / "version" / "model", text)
        return models.stage(work / "version")


def write(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(text)


def text_of(version: Version | None) -> str:
    """Return the text of a model; its two files must have the same one."""
    assert version is not None
    one, other = ((version.folder / name).read_text() for name in ("config.json", "model.safetensors"))
    assert one == other
    return one


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "m", "original")
    return tmp_path


def rename_across_layers(folder: Path, target: Path) -> Path:
    """Rename as in a container, where a folder of the image cannot be moved."""
    if folder.name == "m":
        raise OSError(errno.EXDEV, "Invalid cross-device link")
    folder.replace(target)
    return target


@pytest.mark.parametrize("movable", [True, False])
def test_override_and_rollback(path: Path, movable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not movable:
        monkeypatch.setattr(PosixPath, "rename", rename_across_layers)
    models = ModelStore(path, "m")
    assert models.in_use() == Version(AS_DOWNLOADED, path / "m")
    assert (models.candidate(), models.previous()) == (None, None)
    with pytest.raises(NoCandidate, match="none to bring back"):
        models.rollback()

    first = stage(models, "first")
    assert (text_of(models.in_use()), text_of(models.candidate())) == ("original", "first")
    assert models.promote()[0] == first
    assert (text_of(models.in_use()), text_of(models.previous()), models.candidate()) == ("first", "original", None)
    assert (path / "m/config.json").read_text() == "first"
    with pytest.raises(NoCandidate, match="train request first"):
        models.promote()

    stage(models, "second")
    stage(models, "third")
    models.promote()
    assert (text_of(models.in_use()), text_of(models.previous())) == ("third", "first")
    assert len(list((path / ".m/versions").iterdir())) == 2, "what nothing points to is removed"
    models.rollback()
    assert (text_of(models.in_use()), text_of(models.previous())) == ("first", "third")
    models.rollback()
    assert (text_of(models.in_use()), text_of(models.previous())) == ("third", "first")


def test_a_model_that_is_a_link_to_somewhere_else_is_left_there(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "original")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/m").symlink_to(tmp_path / "elsewhere")
    models = ModelStore(tmp_path / "models", "m")
    stage(models, "first")
    models.promote()
    models.rollback()
    assert text_of(models.in_use()) == "original"
    assert (tmp_path / "elsewhere/config.json").read_text() == "original"


def test_a_model_that_is_a_link_beside_it(path: Path) -> None:
    (path / "alias").symlink_to("m")
    assert ModelStore(path, "alias").in_use() == Version(AS_DOWNLOADED, path / "m")


def test_the_first_model_of_all_has_no_previous_one(tmp_path: Path) -> None:
    models = ModelStore(tmp_path, "m")
    assert models.in_use() is None
    version = stage(models, "first")
    assert models.promote() == (version, None)
    assert text_of(models.in_use()) == "first"


def test_a_folder_of_models_can_be_moved(path: Path) -> None:
    models = ModelStore(path, "m")
    stage(models, "first")
    models.promote()
    path.rename(path.with_name("elsewhere"))
    moved = ModelStore(path.with_name("elsewhere"), "m")
    assert (text_of(moved.in_use()), text_of(moved.previous())) == ("first", "original")


def change_until(step: int, path: Path, change: str, *, movable: bool) -> int:
    """Change the model in use in a process that is killed at a step, and return its exit code."""
    with warnings.catch_warnings():
        # Python 3.12 warns where other tests left threads; the child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        _change(step, path, change, movable=movable)
    except BaseException:  # noqa: BLE001 - nothing of pytest's may run in the child
        os._exit(1)
    os._exit(0)


def _change(step: int, path: Path, change: str, *, movable: bool) -> None:
    if not movable:
        patch.object(PosixPath, "rename", rename_across_layers).start()
    seen = 0

    def count(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if name in CHANGES and str(path) in str(arguments[:2]):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    getattr(ModelStore(path, "m"), change)()


def first_override(path: Path) -> None:
    stage(ModelStore(path, "m"), "new")


def second_override(path: Path) -> None:
    models = ModelStore(path, "m")
    stage(models, "old")
    models.promote()
    stage(models, "new")


def rolled_back(path: Path) -> None:
    second_override(path)
    ModelStore(path, "m").promote()


@pytest.mark.parametrize(
    ("prepare", "change", "movable", "allowed"),
    [
        (first_override, "promote", True, {"original", "new"}),
        (first_override, "promote", False, {"original", "new"}),
        (second_override, "promote", True, {"old", "new"}),
        (rolled_back, "rollback", True, {"old", "new"}),
    ],
    ids=["first", "first-by-copy", "second", "rollback"],
)
def test_killed_at_every_step(
    tmp_path: Path, prepare: Callable[[Path], None], change: str, movable: bool, allowed: set[str]
) -> None:
    write(tmp_path / "prepared/m", "original")
    prepare(tmp_path / "prepared")
    found = set()
    for step in range(1, 100):
        path = shutil.copytree(tmp_path / "prepared", tmp_path / str(step), symlinks=True)
        code = change_until(step, path, change, movable=movable)
        models = ModelStore(path, "m")
        found.add(text_of(models.in_use()))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        # Whatever was left behind is in nobody's way.
        stage(models, "newest")
        models.promote()
        assert text_of(models.in_use()) == "newest"
        assert text_of(models.previous()) in allowed
        assert not (path / "m").readlink().is_absolute()
        assert len(list((path / ".m/versions").iterdir())) == 2
    assert step > 5
    assert found == allowed
