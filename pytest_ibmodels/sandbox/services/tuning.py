"""Models of text classification: train them as jobs, and answer with a process of the pushed code."""

import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.instabase.wire import TrainRequest
from pytest_ibmodels.sandbox.errors import NoPackageError, SandboxError
from pytest_ibmodels.sandbox.execution.secrets import Secrets
from pytest_ibmodels.sandbox.execution.served import Served, ServedSpec, TunedModels
from pytest_ibmodels.sandbox.execution.tuning_worker import FACTORY
from pytest_ibmodels.sandbox.services.model_calls import CallerLeftError, hold
from pytest_ibmodels.sandbox.services.serving import fingerprint
from pytest_ibmodels.sandbox.services.training import Code, Trainings, database_url
from pytest_ibmodels.sandbox.settings import Settings

if TYPE_CHECKING:
    from pytest_ibmodels.sandbox.execution.job_spec import CodeSpec

DEFAULT_MODULE = "ibformers"
"""Module of a request without script packages."""

TRAIN_FUNCTION = "endpoints.run_tuning"


class Tunings:
    """The tuned models of one tenant; at most one process answers for them, with the code of the last request."""

    def __init__(self, settings: Settings, scratch: Path, training: Trainings, served: Served) -> None:
        self._settings = settings
        self._scratch = scratch
        self._training = training
        self._served = served
        self._lock = threading.Lock()
        self._version = ""
        self._packed: CodeSpec | None = None
        self._last_used = 0.0

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
            NoPackageError: No code is named, and none is published.
            SandboxError: The code cannot be found, fails, or refuses the request.
        """
        with hold(self._lock, abandoned):
            spec = self._spec(self._code(script_packages))
            self._last_used = time.monotonic()
            answer = self._served.ask(spec, {"operation": operation, "settings": settings, "request": request})
            self._last_used = time.monotonic()
        if answer.failure is not None:
            raise SandboxError(answer.failure["msg"])
        if answer.fault or answer.gone:
            raise SandboxError(answer.fault or f"the process that answers for tuned models {answer.gone}")
        return answer.result

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
                self._served.unload()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Kill the process."""
        self._served.kill()

    def _code(self, script_packages: list[str]) -> Code:
        function = f"{_module(script_packages)}.{FACTORY}"
        request = TrainRequest(script_packages=script_packages, function=function, arguments={})
        try:
            return self._training.code(request)
        except SandboxError as error:
            msg = f"tuning: {str(error).removeprefix('run_train: ')}"
            raise (NoPackageError if isinstance(error, NoPackageError) else SandboxError)(msg) from None

    def _spec(self, code: Code) -> ServedSpec:
        version = code.published or json.dumps([(str(folder), fingerprint(folder)) for folder in code.packages])
        if self._packed is None or version != self._version or code.unpacked is not None:
            self._version, self._packed = version, self._training.packed(code)
        return ServedSpec(
            version=version,
            content=TunedModels(code=self._packed, models=self._settings.models_root),
            environments=self._settings.environments_root,
            scratch=self._scratch,
            seconds=self._settings.model_time,
        )


def _module(script_packages: list[str]) -> str:
    return script_packages[0].rstrip("/").rpartition("/")[2] if script_packages else DEFAULT_MODULE
