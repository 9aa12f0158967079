"""Store of one model's versions: the model in use, the candidate and the previous one.

    PATH/reviews                                 model in use: a link, or a plain folder until the first promotion
    PATH/.reviews/versions/<version>/model       a version; its files never change
                            …/training.json      answer of its training
                            …/previous           link to the version that it replaced
    PATH/.reviews/waiting                        link to the candidate
    PATH/.reviews/work/                          files of a training; moved to versions when they are complete
    PATH/.reviews/training.lock, change.lock     locks of a process; they end with it

Every change is one atomic step. A killed process leaves at most a work folder and versions that nothing points to; the
next training or change removes them. This module imports nothing heavy.
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

from ibformers.errors import ModelBusy, NoCandidate, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AS_DOWNLOADED = "as downloaded"
"""Version name of the model in use before the first promotion."""

TRAINING_RECORD = "training.json"
"""File with the answer of a training, beside the version's model."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model.

    Attributes:
        name: name of the version.
        folder: folder of the model; its files never change.
    """

    name: str
    folder: Path


class ModelStore:
    """The versions of one model.

    Args:
        path: the folder of models.
        model_name: the model's folder in `path`.
    """

    def __init__(self, path: Path, model_name: str) -> None:
        self.model_name = model_name
        self._in_use = path / model_name
        self._state = path / f".{model_name}"
        self._versions = self._state / "versions"
        self._candidate = self._state / "waiting"
        self._adopting = self._state / "adopting"

    def in_use(self) -> Version | None:
        """Return the model in use, or None if there is none."""
        # An adoption that happens during the first read is over, or has its link, at the second.
        return self._read_in_use() or self._read_in_use()

    def candidate(self) -> Version | None:
        """Return the version that waits to be promoted, or None."""
        version = self._linked(self._candidate)
        return None if version == self.in_use() else version

    def previous(self) -> Version | None:
        """Return the version that a rollback brings back, or None."""
        current = self.in_use()
        if current is None or current.name == AS_DOWNLOADED:
            return None
        return self._linked(self._versions / current.name / "previous")

    @contextlib.contextmanager
    def training(self) -> Iterator[Path]:
        """Hold the model's training lock and yield an empty work folder.

        Raises:
            ModelBusy: another training holds the lock.
            RequestRefused: `path` is not writable.
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
        """Make `folder` the first model in use. Call it only while `training` is held.

        Args:
            folder: folder of the model; it is moved.
        """
        _sync(folder)
        with self._locked("change"):
            folder.rename(self._in_use)

    def stage(self, folder: Path) -> Version:
        """Make a trained model the candidate, in place of an earlier one. Call it only while `training` is held.

        Args:
            folder: folder that holds `model`; it is moved.
        """
        _sync(folder)
        with self._locked("change"):
            version = self._add(folder)
            self._point(self._candidate, f"versions/{version.name}")
            self._prune()
        return version

    def promote(self, check: Callable[[Version, Version | None], None] | None = None) -> tuple[Version, Version | None]:
        """Put the candidate in use.

        Args:
            check: called with the candidate and the model in use while both are locked; an exception that it raises
                cancels the promotion.

        Returns:
            The version in use now, and the one before it.

        Raises:
            NoCandidate: there is no candidate.
        """
        with self._locked("change"):
            missing = f"No new model of {self.model_name} waits: send a train request first."
            version = self._checked(self.candidate(), missing, check)
            before = self._switch(version)
            self._prune()
        return version, before

    def promote_folder(self, folder: Path, instead_of: str | None) -> tuple[Version, Version | None]:
        """Put a model that was trained elsewhere in use. Call it only while `training` is held.

        The candidate stays the candidate.

        Args:
            folder: folder that holds `model`; it is moved.
            instead_of: name of the version in use that the model was compared with; None if there was none.

        Returns:
            The version in use now, and the one before it.

        Raises:
            NoCandidate: another version is in use by now.
        """
        _sync(folder)
        with self._locked("change"):
            current = self.in_use()
            found = current.name if current else None
            if found != instead_of:
                raise NoCandidate(
                    f"The new model was compared with {instead_of or 'no model'}, but {self.model_name} is "
                    f"{found or 'not there'} by now: train again."
                )
            version = self._add(folder)
            before = self._switch(version)
            self._prune()
        return version, before

    def rollback(self, check: Callable[[Version, Version | None], None] | None = None) -> tuple[Version, Version]:
        """Put the previous version in use; the one in use becomes the previous one, so a second rollback undoes it.

        Args:
            check: called with the previous version and the model in use, as in `promote`.

        Returns:
            The version in use now, and the one before it.

        Raises:
            NoCandidate: there is no previous version.
        """
        with self._locked("change"):
            missing = f"No version of {self.model_name} was replaced yet: there is none to bring back."
            version = self._checked(self.previous(), missing, check)
            before = self._switch(version)
            self._prune()
        assert before is not None  # noqa: S101 - only a model in use has a previous one
        return version, before

    def discard(self, check: Callable[[Version, Version | None], None] | None = None) -> Version:
        """Delete the candidate, and return it.

        Args:
            check: called with the candidate and the model in use, as in `promote`.

        Raises:
            NoCandidate: there is no candidate.
        """
        with self._locked("change"):
            missing = f"No new model of {self.model_name} waits: there is none to discard."
            version = self._checked(self.candidate(), missing, check)
            self._candidate.unlink()
            self._prune()
        return version

    def _checked(
        self, version: Version | None, missing: str, check: Callable[[Version, Version | None], None] | None
    ) -> Version:
        """Return a version that there is, and that ``check`` lets pass; ``missing`` says that there is none."""
        if version is None:
            raise NoCandidate(missing)
        if check is not None:
            check(version, self.in_use())
        return version

    def _read_in_use(self) -> Version | None:
        # While a folder is adopted, its version is complete and the folder may not be.
        if adopted := self._linked(self._adopting):
            return adopted
        with contextlib.suppress(OSError, ValueError):
            place, folder, name, _ = self._in_use.readlink().parts[-4:]
            if (place, folder) == (self._state.name, "versions"):
                return self._version(self._versions / name)
        return Version(AS_DOWNLOADED, self._in_use.resolve()) if self._in_use.is_dir() else None

    def _switch(self, version: Version) -> Version | None:
        """Put a version in use and return the one before it, or None."""
        before = self._adopt()
        if before is not None:
            # The link to the previous version comes first, so that the switch is one step.
            self._point(self._versions / version.name / "previous", f"../{before.name}")
        self._point(self._in_use, self._target(version))
        return before

    def _adopt(self) -> Version | None:
        """Turn a plain folder in use, as people copy or download it to `path`, into a version.

        Returns:
            The version in use; None if there is no model.
        """
        current = self.in_use()
        if current is None:
            return None
        if current.name != AS_DOWNLOADED:
            if os.path.lexists(self._adopting):
                self._finish_adoption(current)
            return current
        version = Version(name := f"original-{_new_name()}", self._versions / name / "model")
        version.folder.parent.mkdir(parents=True)
        if self._in_use.is_symlink():
            version.folder.symlink_to(self._in_use.resolve())
            self._point(self._in_use, self._target(version))
            return self._version(version.folder.parent)
        self._point(self._adopting, f"versions/{name}")
        try:
            self._in_use.rename(version.folder)
        except OSError:
            # A folder in a lower layer of a container image cannot be moved (EXDEV).
            partial = version.folder.with_name("copying")
            shutil.copytree(self._in_use, partial)
            _sync(partial)
            partial.rename(version.folder)
        self._finish_adoption(version)
        return self._version(version.folder.parent)

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
        """Replace a link in one step; `target` is relative to the link's folder."""
        scratch = self._state / "link"
        scratch.unlink(missing_ok=True)
        scratch.symlink_to(target)
        scratch.replace(link)

    def _add(self, folder: Path) -> Version:
        self._versions.mkdir(exist_ok=True)
        return self._version(folder.rename(self._versions / _new_name()))

    def _prune(self) -> None:
        """Remove a candidate link to the model in use, and versions that nothing points to."""
        if self.candidate() is None:
            self._candidate.unlink(missing_ok=True)
        kept = {version.name for version in (self.in_use(), self.candidate(), self.previous()) if version}
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


def _sync(folder: Path) -> None:
    """Write all files below a folder to the disk, so that a power cut after the rename finds them complete."""
    for entry in [*folder.rglob("*"), folder]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
