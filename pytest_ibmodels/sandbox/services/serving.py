"""Loaded models: one process each, kept warm, loaded again when their files change."""

import json
import logging
import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.model_worker import ModelSpec, serve_model
from pytest_ibmodels.sandbox.execution.processes import ChildProcess, how_it_ended
from pytest_ibmodels.sandbox.services.model_calls import held
from pytest_ibmodels.sandbox.services.packages import read_model_package
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath

logger = logging.getLogger(__name__)

_Signature = tuple[tuple[str, int, int], ...]


class ModelError(SandboxError):
    """A model could not be loaded, or failed on a document."""


@dataclass
class _Slot:
    """The place of one model name; its lock is held while the process is used."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    process: ChildProcess | None = None
    scratch: Path | None = None
    signature: _Signature | None = None
    last_used: float = 0.0
    unload: bool = False


class ModelPool:
    """At most ``max_models`` loaded models, the least recently used going first; idle ones go after ``model_idle``."""

    def __init__(self, settings: Settings, drive: Drive) -> None:
        self._settings = settings
        self._drive = drive
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._reaper: threading.Thread | None = None

    def run(
        self,
        name: str,
        model_path: DrivePath,
        document: DrivePath,
        record: dict[str, Any] | None,
        abandoned: threading.Event | None = None,
    ) -> dict[str, Any]:
        """Run model ``name``, packaged in ``model_path``, on one record of ``document``; its result as JSON.

        A call that waits for the model, while others ask it, gives up once ``abandoned`` is set.

        Raises:
            ModelError: if it cannot be loaded, fails, takes too long, or its process ends.
            SandboxError: if ``model_path`` holds no model package.
        """
        slot = self._slot(name)
        with held(slot.lock, abandoned):
            try:
                process = self._loaded(name, slot, model_path)
                text = None if record is None else json.dumps([record])
                answer = self._ask(process, {"path": str(document), "document": text})
                if "failure" in answer:
                    msg = f"model {name!r} failed on '{document}'"
                    raise ModelError(_told(msg, answer["failure"]))
                result: dict[str, Any] = answer["result"]
            except _GoneError as error:
                self._close(slot)
                msg = f"the process of model {name!r} {error} while it worked on '{document}'"
                raise ModelError(msg) from None
            finally:
                slot.last_used = time.monotonic()
                if slot.unload:
                    self._close(slot)
        self._make_room()
        return result

    def unload(self, name: str) -> None:
        """Unload a model now, or as soon as it has answered; one that is not loaded is none to unload."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.unload = True
            self._close_if_free(slot)

    def loaded(self) -> list[str]:
        """The names of the models that have a process."""
        return [name for name, slot in list(self._slots.items()) if slot.process is not None]

    def close(self) -> None:
        """Kill all model processes."""
        self._closed.set()
        for slot in list(self._slots.values()):
            if slot.process is not None:
                slot.process.kill()

    def _slot(self, name: str) -> _Slot:
        with self._lock:
            if self._reaper is None:
                self._reaper = threading.Thread(target=self._reap, name="model-reaper", daemon=True)
                self._reaper.start()
            return self._slots.setdefault(name, _Slot())

    def _loaded(self, name: str, slot: _Slot, model_path: DrivePath) -> ChildProcess:
        package = read_model_package(self._drive, model_path)
        folder = self._drive.local_folder(model_path)
        found = signature(folder)
        if slot.process is not None and not slot.unload and found == slot.signature:
            return slot.process
        self._close(slot)
        if self._closed.is_set():
            msg = "the sandbox is stopping"
            raise ModelError(msg)
        scratch = self._drive.new_scratch()
        spec = ModelSpec(
            name=name,
            folder=folder,
            classpath=package.classpath,
            packages=package.packages,
            drive=self._drive,
            scratch=scratch,
            max_unzipped=self._settings.max_unzipped,
        )
        slot.unload = False
        slot.scratch = scratch
        slot.process = ChildProcess(serve_model, spec)
        slot.signature = found
        try:
            answer = self._answer(slot.process)
        except _GoneError as error:
            self._close(slot)
            msg = f"model {name!r} could not be loaded from '{model_path}': its process {error}"
            raise ModelError(msg) from None
        if "failure" in answer:
            self._close(slot)
            logger.warning("model %s: %s", name, answer["failure"]["strace"])
            msg = f"model {name!r} could not be loaded from '{model_path}'"
            raise ModelError(_told(msg, answer["failure"]))
        return slot.process

    def _ask(self, process: ChildProcess, request: dict[str, Any]) -> dict[str, Any]:
        try:
            process.send(request)
        except OSError:
            raise _GoneError(how_it_ended(process.exit_code())) from None
        return self._answer(process)

    def _answer(self, process: ChildProcess) -> dict[str, Any]:
        seconds = self._settings.model_time
        try:
            messages = process.messages(seconds)
        except EOFError:
            process.wait_for_exit(2)
            raise _GoneError(how_it_ended(process.exit_code())) from None
        if not messages:
            msg = f"did not answer within {seconds:g} s and was killed"
            raise _GoneError(msg)
        return messages[0]

    def _close(self, slot: _Slot) -> None:
        """End a slot's process; the caller holds its lock."""
        process, slot.process, slot.signature = slot.process, None, None
        slot.unload = False
        if process is not None:
            process.say_goodbye()
            process.close()
        if slot.scratch is not None:
            shutil.rmtree(slot.scratch, ignore_errors=True)

    def _close_if_free(self, slot: _Slot) -> bool:
        if not slot.lock.acquire(blocking=False):
            return False
        try:
            self._close(slot)
        finally:
            slot.lock.release()
        return True

    def _make_room(self) -> None:
        warm = [slot for slot in list(self._slots.values()) if slot.process is not None]
        warm.sort(key=lambda slot: slot.last_used)
        for slot in warm[: max(0, len(warm) - self._settings.max_models)]:
            self._close_if_free(slot)

    def _reap(self) -> None:
        while not self._closed.wait(min(30.0, self._settings.model_idle / 2)):
            for slot in list(self._slots.values()):
                if slot.process is not None and time.monotonic() - slot.last_used > self._settings.model_idle:
                    self._close_if_free(slot)


class _GoneError(Exception):
    """The process does not answer; the text says how it ended."""


def _told(what: str, failure: dict[str, str]) -> str:
    """A message that ends with the last frames of the model's own traceback, if it has any."""
    return f"{what}: {failure['error']}\n{failure['frames']}".rstrip()


def signature(folder: Path) -> _Signature:
    """What changes when a file of the package does; caches written by a run do not count."""
    found, folders = [], [str(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file() and not entry.name.endswith(".pyc"):
                    stat = entry.stat()
                    found.append((entry.path, stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))
