"""Pool of loaded models: one process each, kept for later calls, reloaded when the model's files change."""

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
from pytest_ibmodels.sandbox.execution.environment_worker import EnvironmentTask, make_environment
from pytest_ibmodels.sandbox.execution.environments import find_environment
from pytest_ibmodels.sandbox.execution.libraries import imports_libraries
from pytest_ibmodels.sandbox.execution.model_worker import ModelSpec, serve_model
from pytest_ibmodels.sandbox.execution.processes import ChildProcess, ProcessGoneError
from pytest_ibmodels.sandbox.services.model_calls import hold
from pytest_ibmodels.sandbox.services.packages import read_model_package
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath

logger = logging.getLogger(__name__)

_Fingerprint = tuple[tuple[str, int, int], ...]


class ModelError(SandboxError):
    """A model could not be loaded, or failed on a document."""


@dataclass
class _Slot:
    """Process of one model name; ``lock`` is held while it is used."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    process: ChildProcess | None = None
    scratch: Path | None = None
    fingerprint: _Fingerprint | None = None
    last_used: float = 0.0
    unload: bool = False


class ModelPool:
    """At most ``max_models`` loaded models; unloads the least recently used, and idle ones after ``model_idle``."""

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
        """Run model ``name``, packaged in ``model_path``, on one record of ``document`` and return its result.

        Setting ``abandoned`` ends the wait for a model that is busy.

        Raises:
            ModelError: The model cannot be loaded, fails or takes too long, or its process ends.
            SandboxError: ``model_path`` is not a model package.
        """
        slot = self._slot(name)
        with hold(slot.lock, abandoned):
            try:
                process = self._load(name, slot, model_path)
                text = None if record is None else json.dumps([record])
                answer = process.ask({"path": str(document), "document": text}, self._settings.model_time)
                if "failure" in answer:
                    msg = f"model {name!r} failed on '{document}'"
                    raise ModelError(_failure_message(msg, answer["failure"]))
                result: dict[str, Any] = answer["result"]
            except ProcessGoneError as error:
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
        """Unload a model now, or after the call it is answering; do nothing if it is not loaded."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.unload = True
            self._close_if_free(slot)

    def loaded_names(self) -> list[str]:
        """Names of the models that have a process."""
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

    def _load(self, name: str, slot: _Slot, model_path: DrivePath) -> ChildProcess:
        package = read_model_package(self._drive, model_path)
        folder = self._drive.local_folder(model_path)
        found = fingerprint(folder)
        if slot.process is not None and not slot.unload and found == slot.fingerprint:
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
        with_libraries = self._settings.preload and imports_libraries([folder / "src" / "py"])
        try:
            python = self._python(slot, spec, f"model {name!r} could not be loaded from '{model_path}'")
            slot.process = ChildProcess(serve_model, spec, with_libraries=with_libraries, python=python)
            slot.fingerprint = found
            answer = slot.process.answer(self._settings.model_time)
        except ProcessGoneError as error:
            self._close(slot)
            msg = f"model {name!r} could not be loaded from '{model_path}': its process {error}"
            raise ModelError(msg) from None
        if "failure" in answer:
            self._close(slot)
            logger.warning("model %s: %s", name, answer["failure"]["strace"])
            msg = f"model {name!r} could not be loaded from '{model_path}'"
            raise ModelError(_failure_message(msg, answer["failure"]))
        return slot.process

    def _python(self, slot: _Slot, spec: ModelSpec, what: str) -> Path | None:
        """Return the Python of the model's requirements, in an environment that is made if it is missing; or None.

        Raises:
            ModelError: The requirements cannot be installed; the message begins with ``what``.
            ProcessGoneError: The process that installs them has ended, or takes too long.
        """
        environment = find_environment(spec.library_folders(), self._settings)
        if environment is None:
            return None
        with environment.hold(self._closed.is_set):
            if environment.is_ready:
                environment.mark_ready()
            else:
                task = EnvironmentTask(environment, spec.scratch / "install.txt", spec.scratch)
                process = slot.process = ChildProcess(make_environment, task)
                answer = process.answer(self._settings.model_time)
                if "message" in answer:
                    answer = process.answer(self._settings.model_time)
                process.close()
                if "result" not in answer:
                    self._close(slot)
                    reason = answer["failure"]["error"] if "failure" in answer else answer["fault"]
                    raise ModelError(f"{what}: {reason}")
        return environment.python

    def _close(self, slot: _Slot) -> None:
        """End the slot's process; the caller holds the slot's lock."""
        process, slot.process, slot.fingerprint = slot.process, None, None
        slot.unload = False
        if process is not None:
            process.request_exit()
            process.close()
        if slot.scratch is not None:
            shutil.rmtree(slot.scratch, ignore_errors=True)

    def _close_if_free(self, slot: _Slot) -> None:
        if slot.lock.acquire(blocking=False):
            try:
                self._close(slot)
            finally:
                slot.lock.release()

    def _make_room(self) -> None:
        loaded = [slot for slot in list(self._slots.values()) if slot.process is not None]
        loaded.sort(key=lambda slot: slot.last_used)
        for slot in loaded[: max(0, len(loaded) - self._settings.max_models)]:
            self._close_if_free(slot)

    def _reap(self) -> None:
        while not self._closed.wait(min(30.0, self._settings.model_idle / 2)):
            for slot in list(self._slots.values()):
                if slot.process is not None and time.monotonic() - slot.last_used > self._settings.model_idle:
                    self._close_if_free(slot)


def _failure_message(what: str, failure: dict[str, str]) -> str:
    """``what`` with the error and the last frames of the model's traceback, if any."""
    return f"{what}: {failure['error']}\n{failure['frames']}".rstrip()


def fingerprint(folder: Path) -> _Fingerprint:
    """Fingerprint of the files below a folder: path, time and size of each, without Python's caches."""
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
