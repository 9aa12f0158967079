"""Tuned models: training them as jobs, and a process of the pushed code that answers for them."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

from pytest_ibmodels.instabase.wire import TrainRequest
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.processes import ChildProcess, how_it_ended
from pytest_ibmodels.sandbox.execution.tuning_worker import (
    FACTORY,
    TuningSpec,
    serve_tuning,
)
from pytest_ibmodels.sandbox.services.model_calls import held
from pytest_ibmodels.sandbox.services.serving import signature
from pytest_ibmodels.sandbox.services.training import Code, Trainings
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive

DEFAULT_MODULE = "ibformers"
"""The module that is meant where a request names no code."""

TRAIN_FUNCTION = "endpoints.run_tuning"


class Tunings:
    """The tuned models of one token. At most one process answers for them, with the code that was asked for last."""

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
        """Queue a training, after which the new model waits; the job's id. Raises: as :meth:`Trainings.submit`."""
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
        """What the pushed code answers to a request; one that waits gives up once ``abandoned`` is set.

        Raises:
            SandboxError: the code cannot be found or fails, or refuses the request.
        """
        with held(self._lock, abandoned):
            process = self._running(self._code(script_packages))
            self._last_used = time.monotonic()
            try:
                process.send({"operation": operation, "settings": settings, "request": request})
                answer = self._next(process)
            except (EOFError, OSError, TimeoutError) as error:
                raise self._gone(process, error) from None
            self._last_used = time.monotonic()
        if "failure" in answer:
            raise SandboxError(answer["failure"]["msg"])
        return answer["answer"]

    def close_idle(self) -> None:
        """End the process if nobody asked it for long."""
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
        wanted = TrainRequest(
            script_packages=script_packages, function=f"{_module(script_packages)}.{FACTORY}", arguments={}
        )
        try:
            return self._training.code(wanted)
        except SandboxError as error:
            msg = f"tuning: {str(error).removeprefix('run_train: ')}"
            raise SandboxError(msg) from None

    def _running(self, code: Code) -> ChildProcess:
        key: object = code.published or [(str(folder), signature(folder)) for folder in code.packages]
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
        process = self._process = ChildProcess(serve_tuning, spec)
        self._key = key
        try:
            answer = self._next(process)
        except (EOFError, TimeoutError) as error:
            raise self._gone(process, error) from None
        if "failure" in answer:
            self._end()
            raise SandboxError(answer["failure"]["msg"])
        return process

    def _next(self, process: ChildProcess) -> dict[str, Any]:
        messages = process.messages(self._settings.model_time)
        if not messages:
            msg = f"did not answer within {self._settings.model_time:g} s and was killed"
            raise TimeoutError(msg)
        return messages[0]

    def _gone(self, process: ChildProcess, error: Exception) -> SandboxError:
        process.wait_for_exit(2)
        how = str(error) if isinstance(error, TimeoutError) else how_it_ended(process.exit_code())
        self._end()
        return SandboxError(f"the process that answers for tuned models {how}")

    def _end(self) -> None:
        process, self._process, self._key = self._process, None, None
        if process is not None:
            process.say_goodbye()
            process.close()
        for folder in self._folders:
            _remove(folder)
        self._folders = []


def _module(script_packages: list[str]) -> str:
    return script_packages[0].rstrip("/").rpartition("/")[2] if script_packages else DEFAULT_MODULE


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
