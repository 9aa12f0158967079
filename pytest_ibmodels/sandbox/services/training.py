"""Training jobs: check a request and queue it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pytest_ibmodels.instabase.wire import TrainRequest
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.job_queue import JobQueue, QueuedJob
from pytest_ibmodels.sandbox.execution.joblog import note
from pytest_ibmodels.sandbox.execution.secrets import Secrets
from pytest_ibmodels.sandbox.execution.training_worker import TrainingJob
from pytest_ibmodels.sandbox.samples import DATABASES, sample_database
from pytest_ibmodels.sandbox.services.job_requests import keep_request
from pytest_ibmodels.sandbox.services.marketplace import Marketplace
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.mounts import SAMPLE_PREFIX
from pytest_ibmodels.sandbox.storage.paths import DrivePath


@dataclass(frozen=True)
class Code:
    """Code that a request names.

    Attributes:
        packages: Folders, as in :class:`TrainingJob`.
        unpacked: Folder that the caller deletes after use, or None if ``packages`` are folders of the drive.
        published: Name and version of the published package, or empty.
    """

    packages: tuple[Path, ...]
    unpacked: Path | None = None
    published: str = ""


class Trainings:
    """The trainings of one tenant, in the queue that all tenants share."""

    def __init__(
        self, settings: Settings, drive: Drive, store: Store, marketplace: Marketplace, queue: JobQueue
    ) -> None:
        self._settings = settings
        self._drive = drive
        self._store = store
        self._marketplace = marketplace
        self._queue = queue
        self._model_names: dict[str, str] = {}
        """Model name by job id, oldest first."""

    def submit(self, request: TrainRequest) -> str:
        """Queue a training and return its job id; without script packages it runs the newest published package.

        Raises:
            SandboxError: A script package, the function's module, or the sample database does not exist.
        """
        code = self.code(request)
        arguments = dict(request.arguments)
        database = arguments.get("database")
        if isinstance(database, str):
            database = arguments["database"] = database_url(database, self._settings.samples_root)
        job_id = self._store.new_job("train")
        folder = self._settings.jobs_root / job_id
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            msg = f"run_train: the job's folder cannot be created: {error.strerror or error}"
            self._store.fail(job_id, msg)
            raise SandboxError(msg) from error
        secrets = Secrets.from_url(database) if isinstance(database, str) else Secrets()
        job = TrainingJob(
            job_id=job_id,
            function=request.function,
            packages=code.packages,
            arguments=arguments,
            drive=self._drive,
            folder=folder,
            max_unzipped=self._settings.max_unzipped,
            unpacked=code.unpacked,
            models=self._settings.models_root,
            threads=self._settings.job_threads,
            secrets=secrets,
        )
        keep_request(folder, request, secrets)
        if code.published:
            note(job.log, f"this job runs the published package {code.published}", "INFO")
        if secrets.has_short_password:
            msg = "the password of the database is too short to be redacted outside of URLs: this log may show it"
            note(job.log, msg, "WARNING")
        self._model_names[job_id] = str(request.arguments.get("model_name", ""))
        self._queue.add(QueuedJob(job, self._settings, self._store))
        return job_id

    def jobs_of(self, model_name: str) -> list[str]:
        """Ids of the jobs that train a model of this name since the server's start, oldest first."""
        return [job_id for job_id, name in list(self._model_names.items()) if name == model_name]

    def forget(self, job_id: str) -> None:
        """Delete the folder of a job that has ended."""
        self._model_names.pop(job_id, None)
        shutil.rmtree(self._settings.jobs_root / job_id, ignore_errors=True)

    def queue_position(self, job_id: str) -> int | None:
        """Position of a waiting job, starting at 1, or None if the job does not wait."""
        return self._queue.position(job_id)

    def cancel(self, job_id: str) -> bool:
        """Stop a waiting or running job and wait a few seconds for its end; return False if it had ended before."""
        return self._queue.cancel(job_id)

    def log_of(self, job_id: str) -> Path:
        return self._settings.jobs_root / job_id / "log.txt"

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
