"""Changes of the model in use, cut off at every step by SIGKILL: what is read there is the old model or the new one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from ibformers.errors import NoCandidate
from ibformers.registry import links, store
from ibformers.registry.store import (
    AS_DOWNLOADED,
    ModelStore,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.symlink", "os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.copytree", "open"}


def offer(models: ModelStore, text: str) -> Version:
    with models.training() as work:
        (work / "version" / "model").mkdir(parents=True)
        write(work / "version" / "model", text)
        return models.offer(work / "version")


def write(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(text)


def text_of(version: Version | None) -> str:
    """What a whole model says; its two files must belong together."""
    assert version is not None
    one, other = ((version.folder / name).read_text() for name in ("config.json", "model.safetensors"))
    assert one == other
    return one


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "m", "original")
    return tmp_path


def cannot_exchange(*_paths: Path) -> None:
    raise OSError(errno.EINVAL, "not on this file system")


@pytest.mark.parametrize("exchanges", [True, False])
def test_override_and_rollback(path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchanges:
        monkeypatch.setattr(store, "exchange", cannot_exchange)
    models = ModelStore(path, "m")
    assert models.in_use() == Version(AS_DOWNLOADED, path / "m")
    assert (models.waiting(), models.previous()) == (None, None)
    with pytest.raises(NoCandidate, match="none to bring back"):
        models.rollback()

    first = offer(models, "first")
    assert (text_of(models.in_use()), text_of(models.waiting())) == ("original", "first")
    assert models.override()[0] == first
    assert (text_of(models.in_use()), text_of(models.previous()), models.waiting()) == ("first", "original", None)
    assert (path / "m/config.json").read_text() == "first"
    with pytest.raises(NoCandidate, match="train request first"):
        models.override()

    offer(models, "second")
    offer(models, "third")
    models.override()
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
    offer(models, "first")
    models.override()
    models.rollback()
    assert text_of(models.in_use()) == "original"
    assert (tmp_path / "elsewhere/config.json").read_text() == "original"


def test_a_model_that_is_a_link_beside_it(path: Path) -> None:
    (path / "alias").symlink_to("m")
    assert ModelStore(path, "alias").in_use() == Version(AS_DOWNLOADED, path / "m")


def test_the_first_model_of_all_has_no_previous_one(tmp_path: Path) -> None:
    models = ModelStore(tmp_path, "m")
    assert models.in_use() is None
    version = offer(models, "first")
    assert models.override() == (version, None)
    assert text_of(models.in_use()) == "first"


def test_a_folder_of_models_can_be_moved(path: Path) -> None:
    models = ModelStore(path, "m")
    offer(models, "first")
    models.override()
    path.rename(path.with_name("elsewhere"))
    moved = ModelStore(path.with_name("elsewhere"), "m")
    assert (text_of(moved.in_use()), text_of(moved.previous())) == ("first", "original")


def change_until(step: int, path: Path, change: str, *, exchanges: bool) -> int:
    """Change the model in use in a process that is killed at the given step, and return its exit code."""
    with warnings.catch_warnings():
        # Python 3.12 warns where other tests left threads; the child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        _change(step, path, change, exchanges=exchanges)
    except BaseException:  # noqa: BLE001 - nothing of pytest's may run in the child
        os._exit(1)
    os._exit(0)


def _change(step: int, path: Path, change: str, *, exchanges: bool) -> None:
    if not exchanges:
        patch.object(store, "exchange", cannot_exchange).start()
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
    offer(ModelStore(path, "m"), "new")


def second_override(path: Path) -> None:
    models = ModelStore(path, "m")
    offer(models, "old")
    models.override()
    offer(models, "new")


def rolled_back(path: Path) -> None:
    second_override(path)
    ModelStore(path, "m").override()


@pytest.mark.parametrize(
    ("prepare", "change", "exchanges", "allowed"),
    [
        (first_override, "override", True, {"original", "new"}),
        (first_override, "override", False, {"original", "new"}),
        (second_override, "override", True, {"old", "new"}),
        (rolled_back, "rollback", True, {"old", "new"}),
    ],
    ids=["first", "first-by-copy", "second", "rollback"],
)
def test_killed_at_every_step(
    tmp_path: Path, prepare: Callable[[Path], None], change: str, exchanges: bool, allowed: set[str]
) -> None:
    write(tmp_path / "prepared/m", "original")
    prepare(tmp_path / "prepared")
    found = set()
    for step in range(1, 100):
        path = shutil.copytree(tmp_path / "prepared", tmp_path / str(step), symlinks=True)
        code = change_until(step, path, change, exchanges=exchanges)
        models = ModelStore(path, "m")
        found.add(text_of(models.in_use()))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        # Whatever was left behind is in nobody's way.
        offer(models, "newest")
        models.override()
        assert text_of(models.in_use()) == "newest"
        assert text_of(models.previous()) in allowed
        assert not (path / "m").readlink().is_absolute()
        assert len(list((path / ".m/versions").iterdir())) == 2
    assert step > 5
    assert found == allowed


def test_an_exchange_is_refused_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        links.exchange(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="This system cannot"):
        links.exchange(tmp_path, tmp_path)
