"""Processes that answer for trained models: each has loaded one, and is kept for later requests."""

import logging
import shutil
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pytest_ibmodels.sandbox.execution.code_cache import CodeCache
from pytest_ibmodels.sandbox.execution.environment_worker import EnvironmentTask, make_environment
from pytest_ibmodels.sandbox.execution.environments import find_environment
from pytest_ibmodels.sandbox.execution.job_spec import CodeSpec, DriveSpec, Spec
from pytest_ibmodels.sandbox.execution.libraries import imports_libraries
from pytest_ibmodels.sandbox.execution.model_worker import ModelSpec, serve_model
from pytest_ibmodels.sandbox.execution.processes import ChildProcess, ProcessGoneError
from pytest_ibmodels.sandbox.execution.tuning_worker import TuningSpec, serve_tuning
from pytest_ibmodels.sandbox.settings import Settings

logger = logging.getLogger(__name__)


class PackagedModel(Spec):
    """A model package in the drive; the fields are those of :class:`ModelSpec`."""

    kind: Literal["model"] = "model"
    name: str
    folder: Path
    classpath: str
    packages: tuple[str, ...]
    drive: DriveSpec
    max_unzipped: int


class TunedModels(Spec):
    """A tenant's models of text classification, below the folder ``models``, and the code that answers for them."""

    kind: Literal["tuning"] = "tuning"
    code: CodeSpec
    models: Path


class ServedSpec(Spec):
    """Description of what a process loads.

    Attributes:
        version: Text that changes when it has to be loaded again.
        environments: Folder of the virtual environments of requirements.
        scratch: Folder in which a working directory is made.
        seconds: Limit of loading it, and of one answer.
    """

    version: str
    content: PackagedModel | TunedModels
    environments: Path
    scratch: Path
    seconds: float


@dataclass(frozen=True)
class Answer:
    """Answer to a request: a result, or why there is none.

    Attributes:
        result: JSON.
        failure: How the pushed code failed, as :func:`describe` tells it.
        gone: Clause that tells how the process ended, such as "was killed by SIGKILL".
        fault: Sentence: why the process could not be started.
        while_loading: Whether it failed before it could answer anything.
    """

    result: Any = None
    failure: dict[str, str] | None = None
    gone: str = ""
    fault: str = ""
    while_loading: bool = False


class Served(Protocol):
    """A process that answers, on whatever machine. The caller asks one request after the other."""

    def ask(self, spec: ServedSpec, request: dict[str, Any]) -> Answer:
        """Answer a request, after loading what the spec says, unless that is loaded.

        The result of a request ``{"list": [...]}`` is a list of ``{"result": ...}`` and ``{"failure": ...}``, in order;
        if the process ends meanwhile, the list is shorter, and ``gone`` has the reason.
        """

    def unload(self) -> None:
        """End the process, if there is one."""

    def kill(self) -> None:
        """Kill the process, if there is one, even while it answers."""

    @property
    def is_loaded(self) -> bool:
        """Whether there is a process."""


class LocalServed:
    """A process of this machine."""

    def __init__(self, settings: Settings, code: CodeCache) -> None:
        self._settings = settings
        self._code = code
        self._process: ChildProcess | None = None
        self._version = ""
        self._folders: list[Path] = []
        self._closed = threading.Event()

    @property
    def is_loaded(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def ask(self, spec: ServedSpec, request: dict[str, Any]) -> Answer:
        """Answer a request."""
        failed = self._load(spec)
        if failed is not None:
            self.unload()
            return failed
        assert self._process is not None  # noqa: S101 - it was loaded
        listed: list[dict[str, Any]] = []
        try:
            if "list" in request:
                listed.extend(self._process.ask_list(request["list"], spec.seconds))
                return Answer(result=listed)
            answer = self._process.ask(request, spec.seconds)
        except ProcessGoneError as error:
            self.unload()
            return Answer(result=listed, gone=str(error))
        return Answer(failure=answer["failure"]) if "failure" in answer else Answer(result=answer["result"])

    def unload(self) -> None:
        """End the process."""
        process, self._process, self._version = self._process, None, ""
        if process is not None:
            process.request_exit()
            process.close()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders = []

    def kill(self) -> None:
        """Kill the process, and start no other."""
        self._closed.set()
        process = self._process
        if process is not None:
            process.kill()

    def _load(self, spec: ServedSpec) -> Answer | None:
        """Start the process, unless it has this version; return why it could not."""
        unpacked = spec.content.code.unpacked if isinstance(spec.content, TunedModels) else None
        if self._process is not None and spec.version == self._version and not self._process.has_ended():
            if unpacked is not None:
                shutil.rmtree(unpacked, ignore_errors=True)
            return None
        self.unload()
        scratch = spec.scratch / uuid.uuid4().hex
        self._folders = [scratch, *([unpacked] if unpacked else [])]
        if self._closed.is_set():
            return Answer(fault="the sandbox is stopping", while_loading=True)
        try:
            failed = self._start(spec, scratch)
            if failed is not None:
                return failed
            assert self._process is not None  # noqa: S101 - it was started
            answer = self._process.answer(spec.seconds)
        except ProcessGoneError as error:
            return Answer(gone=str(error), while_loading=True)
        if "failure" in answer:
            return Answer(failure=answer["failure"], while_loading=True)
        self._version = spec.version
        return None

    def _start(self, spec: ServedSpec, scratch: Path) -> Answer | None:
        content = spec.content
        if isinstance(content, TunedModels):
            packages = self._code.open(content.code)
            tuning = TuningSpec(packages=packages, models=content.models, scratch=scratch)
            with_libraries = self._settings.preload and imports_libraries(packages)
            self._process = ChildProcess(serve_tuning, tuning, with_libraries=with_libraries)
            return None
        model = ModelSpec(
            name=content.name,
            folder=content.folder,
            classpath=content.classpath,
            packages=content.packages,
            drive=content.drive.open(),
            scratch=scratch,
            max_unzipped=content.max_unzipped,
        )
        python, failed = self._python(spec, model)
        if failed is None:
            with_libraries = self._settings.preload and imports_libraries([content.folder / "src" / "py"])
            self._process = ChildProcess(serve_model, model, with_libraries=with_libraries, python=python)
        return failed

    def _python(self, spec: ServedSpec, model: ModelSpec) -> tuple[Path | None, Answer | None]:
        """Python of the model's requirements, in an environment that is made if it is missing, or why there is none.

        Raises:
            ProcessGoneError: The process that installs the requirements has ended, or takes too long.
        """
        environment = find_environment(model.library_folders(), self._settings, spec.environments)
        if environment is None:
            return None, None
        with environment.hold(self._closed.is_set):
            if environment.is_ready:
                environment.mark_ready()
            else:
                task = EnvironmentTask(environment, model.scratch / "install.txt", model.scratch)
                process = self._process = ChildProcess(make_environment, task)
                answer = process.answer(spec.seconds)
                if "message" in answer:
                    answer = process.answer(spec.seconds)
                process.close()
                if "result" not in answer:
                    reason = answer["failure"]["error"] if "failure" in answer else answer["fault"]
                    return None, Answer(fault=reason, while_loading=True)
        return environment.python, None
