"""Where models lie: the one in use, the one that waits, the one before. Every change is one atomic step.

    PATH/reviews                                 the model in use: once it was overridden, a link to
    PATH/.reviews/versions/<version>/model       a version; its files never change
                            …/training.json      how it was trained
                            …/previous           link to the version that it took the place of
    PATH/.reviews/waiting                        link to the version that waits
    PATH/.reviews/work/                          what a training writes; renamed when it is whole
    PATH/.reviews/training.lock, change.lock     held by a process, so that they end with it

A process that is killed leaves at most a work folder and versions that nothing points to; the next training or change
removes them. Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ibformers.errors import (
    ModelBusy,
    NoCandidate,
    RequestRefused,
)
from ibformers.registry.links import (
    exchange,
    point,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AS_DOWNLOADED = "as downloaded"
"""What the model in use is called until the first override."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model.

    Attributes:
        name: of the version.
        folder: holds the model; its files never change.
    """

    name: str
    folder: Path


class ModelStore:
    """The versions of one model.

    Args:
        path: the folder of models.
        model_name: the model's folder in it.
    """

    def __init__(self, path: Path, model_name: str) -> None:
        self.model_name = model_name
        self._in_use = path / model_name
        self._state = path / f".{model_name}"
        self._versions = self._state / "versions"
        self._waiting = self._state / "waiting"
        self._adopting = self._state / "adopting"

    def in_use(self) -> Version | None:
        """Return the model in use, or None where there is none."""
        # While a folder is being adopted the slow way, its copy is whole and the folder may not be.
        if adopted := self._linked(self._adopting):
            return adopted
        with contextlib.suppress(OSError, ValueError):
            place, folder, name, _ = self._in_use.readlink().parts[-4:]
            if (place, folder) == (self._state.name, "versions"):
                return self._version(self._versions / name)
        return Version(AS_DOWNLOADED, self._in_use.resolve()) if self._in_use.is_dir() else None

    def waiting(self) -> Version | None:
        """Return the version that waits for an override, or None."""
        version = self._linked(self._waiting)
        return None if version == self.in_use() else version

    def previous(self) -> Version | None:
        """Return the version that a rollback brings back, or None."""
        current = self.in_use()
        if current is None or current.name == AS_DOWNLOADED:
            return None
        return self._linked(self._versions / current.name / "previous")

    @contextlib.contextmanager
    def training(self) -> Iterator[Path]:
        """Keep other trainings of this model away, and give an empty folder for what is written meanwhile.

        Raises:
            ModelBusy: another training goes on.
            RequestRefused: nothing can be written to `path`.
        """
        work = self._state / "work"
        with self._locked("training", wait=False):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def install(self, folder: Path) -> None:
        """Take a model in use where there is none yet. Only while `training` is held.

        Args:
            folder: the model; it is moved.
        """
        sync(folder)
        with self._locked("change"):
            folder.rename(self._in_use)

    def offer(self, folder: Path) -> Version:
        """Let a model wait for an override, in place of one that waits already. Only while `training` is held.

        Args:
            folder: holds `model`; it is moved.
        """
        sync(folder)
        with self._locked("change"):
            version = self._keep(folder)
            self._point(self._waiting, f"versions/{version.name}")
            self._prune()
        return version

    def override(self, look: Callable[[Version, Version | None], None] | None = None) -> tuple[Version, Version | None]:
        """Let the version that waits take the place of the one in use.

        Args:
            look: called with the version that waits and the one in use, while neither can change; what it raises
                leaves all as it was.

        Returns:
            The version in use now, and the one before it.

        Raises:
            NoCandidate: none waits.
        """
        with self._locked("change"):
            version = self.waiting()
            if version is None:
                raise NoCandidate(f"No new model of {self.model_name} waits: send a train request first.")
            if look is not None:
                look(version, self.in_use())
            before = self._replace(version)
            self._prune()
        return version, before

    def take(self, folder: Path, instead_of: str | None) -> tuple[Version, Version | None]:
        """Let a model that was trained elsewhere take the place of the one in use. Only while `training` is held.

        A version that waits goes on waiting.

        Args:
            folder: holds `model`; it is moved.
            instead_of: name of the version in use that it was compared with; None where there was none.

        Returns:
            The version in use now, and the one before it.

        Raises:
            NoCandidate: another version is in use by now.
        """
        sync(folder)
        with self._locked("change"):
            current = self.in_use()
            found = current.name if current else None
            if found != instead_of:
                raise NoCandidate(
                    f"The new model was compared with {instead_of or 'no model'}, but {self.model_name} is "
                    f"{found or 'not there'} by now: train again."
                )
            version = self._keep(folder)
            before = self._replace(version)
            self._prune()
        return version, before

    def rollback(self) -> tuple[Version, Version]:
        """Bring back the previous version; the one in use becomes the previous one, so that a second one undoes it.

        Returns:
            The version in use now, and the one before it.

        Raises:
            NoCandidate: no version was replaced yet.
        """
        with self._locked("change"):
            version = self.previous()
            if version is None:
                raise NoCandidate(f"No version of {self.model_name} was replaced yet: there is none to bring back.")
            before = self._replace(version)
            self._prune()
        assert before is not None  # noqa: S101 - only a model in use has a previous one
        return version, before

    def _replace(self, version: Version) -> Version | None:
        """Take a version in use; the link to the previous one is there before, so that the change is one step."""
        before = self._adopt()
        if before is not None:
            self._point(self._versions / version.name / "previous", f"../{before.name}")
        self._point(self._in_use, self._target(version))
        return before

    def _adopt(self) -> Version | None:
        """Make a version of a model in use that is none yet. What is read there stays the same all the while."""
        if not os.path.lexists(self._in_use) and self._linked(self._adopting) is None:
            return None
        current = self.in_use()
        if current is not None and current.name != AS_DOWNLOADED:
            if os.path.lexists(self._adopting):
                self._finish_adoption(current)
            return current
        version = Version(name := f"original-{_new_name()}", self._versions / name / "model")
        version.folder.parent.mkdir(parents=True)
        if self._in_use.is_symlink():
            version.folder.symlink_to(self._in_use.resolve())
            self._point(self._in_use, self._target(version))
            return self._version(self._versions / name)
        version.folder.symlink_to(self._target(version))
        try:
            # Written for the place that it is exchanged into, where it points back at the folder.
            exchange(version.folder, self._in_use)
        except OSError:
            version.folder.unlink()
            partial = version.folder.with_name("copying")
            shutil.copytree(self._in_use, partial)
            sync(partial)
            partial.rename(version.folder)
            self._point(self._adopting, f"versions/{name}")
            self._finish_adoption(version)
        return self._version(self._versions / name)

    def _finish_adoption(self, version: Version) -> None:
        if self._in_use.is_dir() and not self._in_use.is_symlink():
            shutil.rmtree(self._in_use)
        self._point(self._in_use, self._target(version))
        self._adopting.unlink()

    def _target(self, version: Version) -> str:
        return f"{self._state.name}/versions/{version.name}/model"

    def _linked(self, link: Path) -> Version | None:
        return self._version(link.resolve()) if (link / "model").is_dir() else None

    @staticmethod
    def _version(folder: Path) -> Version:
        return Version(folder.name, (folder / "model").resolve())

    def _point(self, link: Path, target: str) -> None:
        point(link, target, self._state / "link")

    def _keep(self, folder: Path) -> Version:
        self._versions.mkdir(exist_ok=True)
        return self._version(folder.rename(self._versions / _new_name()))

    def _prune(self) -> None:
        """Remove what nothing points to: a waiting place that became the model in use, and versions."""
        if self.waiting() is None:
            self._waiting.unlink(missing_ok=True)
        kept = {version.name for version in (self.in_use(), self.waiting(), self.previous()) if version}
        for folder in self._versions.iterdir() if self._versions.is_dir() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            lock = (self._state / f"{name}.lock").open("w")
        except OSError as error:
            raise RequestRefused(
                f"Setting path: nothing can be written to {self._state}: {error.strerror}.", "path"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise ModelBusy(
                    f"{self.model_name} is being trained already, by another request: wait until that has ended."
                ) from None
            yield


def _new_name() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
