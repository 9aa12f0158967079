"""Training jobs: what is asked for is checked, and put into the queue."""

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
from pytest_ibmodels.sandbox.services.marketplace import Marketplace
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.mounts import SAMPLE_PREFIX
from pytest_ibmodels.sandbox.storage.paths import DrivePath


@dataclass(frozen=True)
class Code:
    """``packages`` as a training job has them; ``published`` names the package that they were unpacked from.

    ``unpacked`` is a folder that whoever asked for the code removes.
    """

    packages: tuple[Path, ...]
    unpacked: Path | None = None
    published: str = ""


class Trainings:
    """The trainings of one drive; they wait in a queue that others may share."""

    def __init__(
        self, settings: Settings, drive: Drive, store: Store, marketplace: Marketplace, queue: JobQueue
    ) -> None:
        self._settings = settings
        self._drive = drive
        self._store = store
        self._marketplace = marketplace
        self._queue = queue
        self._named: dict[str, str] = {}
        """The model's name by job id, oldest first."""

    def submit(self, request: TrainRequest) -> str:
        """Queue a training and return its job id; without script packages it runs the newest published package.

        Raises:
            SandboxError: if a script package is missing, or the function belongs to none of them; if none is given,
                and no published package has the function's module; if the database is a sample that there is not.
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
            msg = f"run_train: the job's folder cannot be made: {error.strerror or error}"
            self._store.fail(job_id, msg)
            raise SandboxError(msg) from error
        secrets = Secrets.of_url(database) if isinstance(database, str) else Secrets()
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
            secrets=secrets,
        )
        if code.published:
            note(job.log, f"this job runs the published package {code.published}", "INFO")
        if secrets.too_short:
            note(
                job.log, "the password of the database is too short to be hidden: it may be read in this log", "WARNING"
            )
        self._named[job_id] = str(request.arguments.get("model_name", ""))
        self._queue.add(QueuedJob(job, self._settings, self._store))
        return job_id

    def jobs_of(self, model_name: str) -> list[str]:
        """The ids of the jobs that were asked to make a model of this name, oldest first.

        No job survives a restart of the server, so nothing of this has to.
        """
        return [job_id for job_id, name in list(self._named.items()) if name == model_name]

    def forget(self, job_id: str) -> None:
        """Remove what is left of a job that ended."""
        self._named.pop(job_id, None)
        shutil.rmtree(self._settings.jobs_root / job_id, ignore_errors=True)

    def queue_position(self, job_id: str) -> int | None:
        """How many jobs are before this one plus one, or None if it does not wait."""
        return self._queue.position(job_id)

    def cancel(self, job_id: str) -> bool:
        """Stop a waiting or running job, and wait a little for its end; False if it had ended already."""
        return self._queue.cancel(job_id)

    def log_of(self, job_id: str) -> Path:
        return self._settings.jobs_root / job_id / "log.txt"

    def code(self, request: TrainRequest) -> Code:
        """The code that a request means.

        Raises:
            SandboxError: as :meth:`submit`.
        """
        module, _dot, rest = request.function.partition(".")
        if not rest or not all(part.isidentifier() for part in request.function.split(".")):
            msg = f"run_train: function {request.function!r} is no dotted path such as 'ibformers.endpoints.train'"
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
            msg = f"run_train: script package '{text}': its name is no name of a Python module"
            raise SandboxError(msg)
        return folder


def database_url(database: str, samples: Path) -> str:
    """The URL of a database that a request names: the same, or that of a sample, generated if it is not there.

    Raises:
        SandboxError: if there is no such sample.
    """
    if not database.startswith(SAMPLE_PREFIX):
        return database
    name = database.removeprefix(SAMPLE_PREFIX)
    if name not in DATABASES:
        msg = f"run_train: database {database[:80]!r}: the samples that are databases are: {', '.join(DATABASES)}"
        raise SandboxError(msg)
    return sample_database(name, samples)
