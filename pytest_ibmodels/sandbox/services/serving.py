"""Pool of loaded models: one process each, kept for later calls, reloaded when the model's files change."""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.executor import Executor
from pytest_ibmodels.sandbox.execution.job_spec import DriveSpec
from pytest_ibmodels.sandbox.execution.served import Answer, PackagedModel, Served, ServedSpec
from pytest_ibmodels.sandbox.services.model_calls import hold
from pytest_ibmodels.sandbox.services.packages import read_model_package
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath

logger = logging.getLogger(__name__)


class ModelError(SandboxError):
    """A model could not be loaded, or failed on a document."""


@dataclass
class _Slot:
    """Process of one model name; ``lock`` is held while it is used."""

    served: Served
    lock: threading.Lock = field(default_factory=threading.Lock)
    last_used: float = 0.0
    unload: bool = False


class ModelPool:
    """At most ``max_models`` loaded models; unloads the least recently used, and idle ones after ``model_idle``."""

    def __init__(self, settings: Settings, drive: Drive, executor: Executor, tenant: str = "") -> None:
        self._settings = settings
        self._drive = drive
        self._executor = executor
        self._tenant = tenant
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
        answer = self._ask(name, model_path, _request(document, record), abandoned)
        return _result(answer, name, model_path, document)

    def run_many(
        self, name: str, model_path: DrivePath, records: Sequence[tuple[DrivePath, dict[str, Any]]]
    ) -> list[dict[str, Any] | SandboxError]:
        """Run model ``name`` on records of documents; return the result of each, or the error that :meth:`run` raises.

        A model with the method ``run_many`` can run several at once (Instabase protocol, "Packages").
        """
        results: list[dict[str, Any] | SandboxError] = []
        requests = [_request(document, record) for document, record in records]
        try:
            listed = self._ask(name, model_path, {"list": requests}, None)
        except SandboxError as error:
            return [error] * len(records)
        answers = [Answer(**each) for each in listed.result or []]
        for (document, record), answer in zip_longest(records, answers):
            try:
                if answer is not None or listed.while_loading:
                    results.append(_result(answer or listed, name, model_path, document))
                else:
                    # The process has ended, and any of the rest may be why: each gets a request of its own.
                    results.append(self.run(name, model_path, document, record))
            except SandboxError as error:
                results.append(error)
        return results

    def unload(self, name: str) -> None:
        """Unload a model now, or after the call it is answering; do nothing if it is not loaded."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.unload = True
            self._close_if_free(slot)

    def loaded_names(self) -> list[str]:
        """Names of the models that have a process."""
        return [name for name, slot in list(self._slots.items()) if slot.served.is_loaded]

    def close(self) -> None:
        """Kill all model processes."""
        self._closed.set()
        for slot in list(self._slots.values()):
            slot.served.kill()

    def _ask(
        self, name: str, model_path: DrivePath, request: dict[str, Any], abandoned: threading.Event | None
    ) -> Answer:
        """Ask the model's process once it is free.

        Raises:
            SandboxError: ``model_path`` is not a model package, or the caller has left.
        """
        slot = self._slot(name)
        with hold(slot.lock, abandoned):
            try:
                spec = self._spec(name, model_path)
                if slot.unload:
                    self._close(slot)
                answer = slot.served.ask(spec, request)
            finally:
                slot.last_used = time.monotonic()
                if slot.unload:
                    self._close(slot)
        self._make_room()
        return answer

    def _slot(self, name: str) -> _Slot:
        with self._lock:
            if self._reaper is None:
                self._reaper = threading.Thread(target=self._reap, name="model-reaper", daemon=True)
                self._reaper.start()
            if name not in self._slots:
                self._slots[name] = _Slot(self._executor.serve(f"{self._tenant}/{name}"))
            return self._slots[name]

    def _spec(self, name: str, model_path: DrivePath) -> ServedSpec:
        """Describe what a process has to load.

        Raises:
            SandboxError: ``model_path`` is not a model package.
        """
        package = read_model_package(self._drive, model_path)
        folder = self._drive.local_folder(model_path)
        model = PackagedModel(
            name=name,
            folder=folder,
            classpath=package.classpath,
            packages=package.packages,
            drive=DriveSpec.of(self._drive),
            max_unzipped=self._settings.max_unzipped,
        )
        return ServedSpec(
            version=fingerprint(folder),
            content=model,
            environments=self._settings.environments_root,
            scratch=self._drive.scratch,
            seconds=self._settings.model_time,
        )

    def _close(self, slot: _Slot) -> None:
        """End the slot's process; the caller holds the slot's lock."""
        slot.unload = False
        slot.served.unload()

    def _close_if_free(self, slot: _Slot) -> None:
        if slot.lock.acquire(blocking=False):
            try:
                self._close(slot)
            finally:
                slot.lock.release()

    def _make_room(self) -> None:
        loaded = [slot for slot in list(self._slots.values()) if slot.served.is_loaded]
        loaded.sort(key=lambda slot: slot.last_used)
        for slot in loaded[: max(0, len(loaded) - self._settings.max_models)]:
            self._close_if_free(slot)

    def _reap(self) -> None:
        while not self._closed.wait(min(30.0, self._settings.model_idle / 2)):
            for slot in list(self._slots.values()):
                if slot.served.is_loaded and time.monotonic() - slot.last_used > self._settings.model_idle:
                    self._close_if_free(slot)


def _request(document: DrivePath, record: dict[str, Any] | None) -> dict[str, Any]:
    return {"path": str(document), "document": None if record is None else json.dumps([record])}


def _result(answer: Answer, name: str, model_path: DrivePath, document: DrivePath) -> dict[str, Any]:
    """Return the result of a model.

    Raises:
        ModelError: There is none; the message says why.
    """
    if answer.while_loading:
        msg = f"model {name!r} could not be loaded from '{model_path}'"
        if answer.failure is None:
            raise ModelError(f"{msg}: {answer.fault}" if answer.fault else f"{msg}: its process {answer.gone}")
        logger.warning("model %s: %s", name, answer.failure["strace"])
        raise ModelError(_failure_message(msg, answer.failure))
    if answer.gone:
        msg = f"the process of model {name!r} {answer.gone} while it worked on '{document}'"
        raise ModelError(msg)
    if answer.failure is not None:
        msg = f"model {name!r} failed on '{document}'"
        raise ModelError(_failure_message(msg, answer.failure))
    result: dict[str, Any] = answer.result
    return result


def _failure_message(what: str, failure: dict[str, str]) -> str:
    """``what`` with the error and the last frames of the model's traceback, if any."""
    return f"{what}: {failure['error']}\n{failure['frames']}".rstrip()


def fingerprint(folder: Path) -> str:
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
    return hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest()
