"""Training jobs: check a request and queue it."""

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_ibmodels.instabase.wire import TrainRequest
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.code_cache import pack_code
from pytest_ibmodels.sandbox.execution.executor import Executor
from pytest_ibmodels.sandbox.execution.job_spec import CodeSpec, DriveSpec, JobSpec, Limits, Resources, log_file
from pytest_ibmodels.sandbox.execution.joblog import note
from pytest_ibmodels.sandbox.execution.secrets import Secrets
from pytest_ibmodels.sandbox.samples import DATABASES, sample_database
from pytest_ibmodels.sandbox.services.dispatcher import Dispatcher
from pytest_ibmodels.sandbox.services.job_requests import without_passwords
from pytest_ibmodels.sandbox.services.marketplace import Marketplace
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_secrets import write_secrets
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.mounts import SAMPLE_PREFIX
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from pytest_ibmodels.sandbox.storage.tables import TRAIN, Job, Queued

DEFAULT_RETRIES = 1


@dataclass(frozen=True)
class Code:
    """Code that a request names.

    Attributes:
        packages: Folders, each the code of one top-level module.
        unpacked: Folder that the caller deletes after use, or None if ``packages`` are folders of the drive.
        published: Name and version of the published package, or empty.
    """

    packages: tuple[Path, ...]
    unpacked: Path | None = None
    published: str = ""


class Trainings:
    """The trainings of one tenant, in the queue that all tenants share."""

    def __init__(
        self,
        settings: Settings,
        drive: Drive,
        store: Store,
        marketplace: Marketplace,
        executor: Executor,
        dispatcher: Dispatcher,
    ) -> None:
        self._settings = settings
        self._drive = drive
        self._store = store
        self._marketplace = marketplace
        self._executor = executor
        self._dispatcher = dispatcher

    def submit(self, request: TrainRequest, key: str | None = None) -> str:
        """Queue a training and return its job id; without script packages it runs the newest published package.

        A request with the ``key`` of an earlier one queues nothing, and returns the job of that one.

        Raises:
            SandboxError: A script package, the function's module, or the sample database does not exist, or no machine
                has the resources.
        """
        resources = _resources(request)
        self._executor.check(resources)
        code = self.code(request)
        arguments = dict(request.arguments)
        database = arguments.get("database")
        if isinstance(database, str):
            database = arguments["database"] = database_url(database, self._settings.samples_root)
        shown = without_passwords(arguments)
        secrets = {name: json.dumps(value) for name, value in arguments.items() if shown[name] != value}
        job_id = uuid.uuid4().hex
        folder = self._settings.jobs_root / job_id
        spec = JobSpec(
            job_id=job_id,
            function=request.function,
            script_packages=tuple(request.script_packages),
            code=self.packed(code),
            arguments=shown,
            secrets=tuple(secrets),
            drive=DriveSpec.of(self._drive),
            folder=folder,
            models=self._settings.models_root,
            environments=self._settings.environments_root,
            limits=self._limits(resources),
            resources=resources,
        )
        with _no_leftovers(folder, code):
            folder.mkdir(parents=True)
            if secrets:
                write_secrets(folder, secrets)
            _note_code(spec, code, database)
            model_name = str(request.arguments.get("model_name", ""))
            queued, is_new = self._store.new_job(
                TRAIN,
                job_id=job_id,
                spec=spec.model_dump(mode="json"),
                model_name=model_name,
                resources=resources.model_dump() if request.resources else None,
                retries=DEFAULT_RETRIES if request.retries is None else request.retries,
                key=key,
            )
        if not is_new:
            _remove(folder, code.unpacked)
        self._dispatcher.wake()
        return queued

    def jobs_of(self, model_name: str) -> list[str]:
        """Ids of the jobs that train a model of this name, oldest first."""
        return self._store.jobs_of_model(model_name)

    def forget(self, job_id: str) -> None:
        """Delete the folder of a job that has ended."""
        shutil.rmtree(self._settings.jobs_root / job_id, ignore_errors=True)

    def queue_position(self, job: Queued) -> int | None:
        """Position of a waiting job, starting at 1, or None if the job does not wait."""
        return self._dispatcher.position(job)

    def queue_positions(self, jobs: Iterable[Queued]) -> dict[str, int]:
        """Positions of the jobs that wait, by their ids."""
        return self._dispatcher.positions(jobs)

    def cancel(self, job_id: str) -> bool:
        """Stop a waiting or running job and wait a few seconds for its end; return False if it had ended before."""
        return self._dispatcher.cancel(self._store, job_id)

    def logs_of(self, job: Job) -> list[Path]:
        """The logs of a job's attempts, oldest first."""
        folder = self._settings.jobs_root / job.id
        return [log_file(folder, attempt) for attempt in range(1, job.attempt + 1)]

    def log_of(self, job: Job) -> Path:
        """The log of a job's last attempt."""
        return log_file(self._settings.jobs_root / job.id, job.attempt)

    def packed(self, code: Code) -> CodeSpec:
        """Describe code for the machine that runs it: as a zip if that may be another one.

        Raises:
            SandboxError: The zip cannot be written.
        """
        if self._executor.name == "local" and not self._store.database.is_shared:
            return CodeSpec(packages=code.packages, unpacked=code.unpacked)
        try:
            packed = pack_code(code.packages, self._settings.code_root)
        except OSError as error:
            msg = f"run_train: the code cannot be stored: {error.strerror or error}"
            raise SandboxError(msg) from error
        _remove(code.unpacked)
        return packed

    def _limits(self, resources: Resources) -> Limits:
        limits = Limits(
            memory=self._settings.job_memory,
            seconds=self._settings.job_time,
            unzipped=self._settings.max_unzipped,
            threads=self._settings.job_threads,
        )
        if resources.memory is None:
            return limits
        asked = {"memory": resources.memory, "memory_option": "'resources.memory' of the model test"}
        return limits.model_copy(update=asked)

    def code(self, request: TrainRequest) -> Code:
        """Find the code of a request.

        Raises:
            SandboxError: As :meth:`submit`.
        """
        module, _dot, rest = request.function.partition(".")
        if not rest or not all(part.isidentifier() for part in request.function.split(".")):
            msg = f"run_train: function {request.function!r} is not a dotted path such as 'ibformers.endpoints.train'"
            raise SandboxError(msg)
        if not request.script_packages:
            package, unpacked = self._marketplace.unpack_newest(module)
            return Code((unpacked / module,), unpacked, f"{package.name} {package.version}")
        packages = tuple(self._package(text) for text in request.script_packages)
        names = [package.name for package in packages]
        if module not in names:
            msg = (
                f"run_train: function {request.function!r} belongs to none of the script packages "
                f"({', '.join(names)}); its first part must be the name of one"
            )
            raise SandboxError(msg)
        return Code(packages)

    def _package(self, text: str) -> Path:
        try:
            folder = self._drive.local_folder(DrivePath.parse(text))
        except SandboxError as error:
            msg = f"run_train: script package: {error}"
            raise SandboxError(msg) from None
        if not folder.name.isidentifier():
            msg = f"run_train: script package '{text}': its name is not a valid name of a Python module"
            raise SandboxError(msg)
        return folder


def _resources(request: TrainRequest) -> Resources:
    asked = request.resources
    return Resources() if asked is None else Resources(cpus=asked.cpus, gpus=asked.gpus, memory=asked.memory)


def _note_code(spec: JobSpec, code: Code, database: object) -> None:
    """Begin the job's log with what it runs, and what may be seen there."""
    if code.published:
        note(spec.log, f"this job runs the published package {code.published}", "INFO")
    if isinstance(database, str) and Secrets.from_url(database).has_short_password:
        msg = "the password of the database is too short to be redacted outside of URLs: this log may show it"
        note(spec.log, msg, "WARNING")


@contextmanager
def _no_leftovers(folder: Path, code: Code) -> Iterator[None]:
    """Remove the folder of a job that cannot be queued."""
    try:
        yield
    except BaseException as error:
        _remove(folder, code.unpacked)
        if isinstance(error, OSError):
            msg = f"run_train: the job's folder cannot be created: {error.strerror or error}"
            raise SandboxError(msg) from error
        raise


def _remove(*folders: Path | None) -> None:
    for folder in folders:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def database_url(database: str, samples: Path) -> str:
    """Resolve the database of a request: a URL stays as it is, a sample is generated if it is missing.

    Raises:
        SandboxError: There is no such sample.
    """
    if not database.startswith(SAMPLE_PREFIX):
        return database
    name = database.removeprefix(SAMPLE_PREFIX)
    if name not in DATABASES:
        msg = f"run_train: database {database[:80]!r}: unknown sample; sample databases: {', '.join(DATABASES)}"
        raise SandboxError(msg)
    return sample_database(name, samples)
