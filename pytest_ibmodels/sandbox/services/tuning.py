"""Models of text classification: train them as jobs, and answer with a process of the pushed code."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

from pytest_ibmodels.instabase.wire import TrainRequest
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.libraries import imports_libraries
from pytest_ibmodels.sandbox.execution.processes import ChildProcess, ProcessGoneError
from pytest_ibmodels.sandbox.execution.secrets import Secrets
from pytest_ibmodels.sandbox.execution.tuning_worker import FACTORY, TuningSpec, serve_tuning
from pytest_ibmodels.sandbox.services.model_calls import CallerLeftError, hold
from pytest_ibmodels.sandbox.services.serving import fingerprint
from pytest_ibmodels.sandbox.services.training import Code, Trainings, database_url
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive

DEFAULT_MODULE = "ibformers"
"""Module of a request without script packages."""

TRAIN_FUNCTION = "endpoints.run_tuning"


class Tunings:
    """The tuned models of one tenant; at most one process answers for them, with the code of the last request."""

    def __init__(self, settings: Settings, drive: Drive, training: Trainings) -> None:
        self._settings = settings
        self._drive = drive
        self._training = training
        self._lock = threading.Lock()
        self._process: ChildProcess | None = None
        self._key: object = None
        self._folders: list[Path] = []
        self._last_used = 0.0
        self._closed = False

    def train(self, script_packages: list[str], database: str, arguments: dict[str, Any]) -> str:
        """Queue a training, whose new model becomes the candidate, and return the job id.

        Raises:
            SandboxError: As :meth:`Trainings.submit`.
        """
        function = f"{_module(script_packages)}.{TRAIN_FUNCTION}"
        named = {**arguments, "database": database, "model_name": arguments["settings"]["model_name"]}
        return self._training.submit(TrainRequest(script_packages=script_packages, function=function, arguments=named))

    def answer(
        self,
        script_packages: list[str],
        operation: str,
        settings: dict[str, Any],
        request: dict[str, Any],
        abandoned: threading.Event | None = None,
    ) -> Any:
        """Answer a request with the pushed code; setting ``abandoned`` ends the wait for a busy process.

        Raises:
            SandboxError: The code cannot be found, fails, or refuses the request.
        """
        with hold(self._lock, abandoned):
            process = self._load(self._code(script_packages))
            self._last_used = time.monotonic()
            message = {"operation": operation, "settings": settings, "request": request}
            try:
                answer = process.ask(message, self._settings.model_time)
            except ProcessGoneError as error:
                raise self._gone(error) from None
            self._last_used = time.monotonic()
        if "failure" in answer:
            raise SandboxError(answer["failure"]["msg"])
        return answer["result"]

    def tables(
        self,
        script_packages: list[str],
        database: str,
        table: str | None = None,
        abandoned: threading.Event | None = None,
    ) -> Any:
        """List the tables of a database, or the columns of one of them, with the pushed code.

        Raises:
            SandboxError: As :meth:`answer`, or there is no such sample; the message has no password.
        """
        url = database_url(database, self._settings.samples_root)
        try:
            return self.answer(script_packages, "tables", {}, {"database": url, "table": table}, abandoned)
        except CallerLeftError:
            raise
        except SandboxError as error:
            raise SandboxError(Secrets.from_url(url).redact_text(str(error))) from None

    def close_idle(self) -> None:
        """End the process if it was not used for ``model_idle`` seconds."""
        if time.monotonic() - self._last_used > self._settings.model_idle and self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Kill the process."""
        self._closed = True
        if self._process is not None:
            self._process.kill()

    def _code(self, script_packages: list[str]) -> Code:
        function = f"{_module(script_packages)}.{FACTORY}"
        request = TrainRequest(script_packages=script_packages, function=function, arguments={})
        try:
            return self._training.code(request)
        except SandboxError as error:
            msg = f"tuning: {str(error).removeprefix('run_train: ')}"
            raise SandboxError(msg) from None

    def _load(self, code: Code) -> ChildProcess:
        key: object = code.published or [(str(folder), fingerprint(folder)) for folder in code.packages]
        if self._process is not None and key == self._key and not self._process.has_ended():
            _remove(code.unpacked)
            return self._process
        self._end()
        scratch = self._drive.new_scratch()
        self._folders = [scratch, *([code.unpacked] if code.unpacked else [])]
        if self._closed:
            msg = "the sandbox is stopping"
            raise SandboxError(msg)
        spec = TuningSpec(packages=code.packages, models=self._settings.models_root, scratch=scratch)
        with_libraries = self._settings.preload and imports_libraries(code.packages)
        process = self._process = ChildProcess(serve_tuning, spec, with_libraries=with_libraries)
        self._key = key
        try:
            answer = process.answer(self._settings.model_time)
        except ProcessGoneError as error:
            raise self._gone(error) from None
        if "failure" in answer:
            self._end()
            raise SandboxError(answer["failure"]["msg"])
        return process

    def _gone(self, error: ProcessGoneError) -> SandboxError:
        self._end()
        return SandboxError(f"the process that answers for tuned models {error}")

    def _end(self) -> None:
        process, self._process, self._key = self._process, None, None
        if process is not None:
            process.request_exit()
            process.close()
        for folder in self._folders:
            _remove(folder)
        self._folders = []


def _module(script_packages: list[str]) -> str:
    return script_packages[0].rstrip("/").rpartition("/")[2] if script_packages else DEFAULT_MODULE


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
