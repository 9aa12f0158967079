"""A job as plain JSON: everything that a machine needs to run it, but no secrets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.locks import SharedPathLocks
from pytest_ibmodels.sandbox.storage.mounts import Mount
from pytest_ibmodels.sandbox.storage.paths import DrivePath


class JobRef(NamedTuple):
    """One attempt of a job; the first one is 1."""

    job_id: str
    attempt: int


class Spec(BaseModel):
    """Base of what is handed to other machines, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Resources(Spec):
    """Share of a machine that a job takes while it runs; ``memory`` in bytes, None if the job does not say."""

    cpus: float = 1.0
    gpus: int = 0
    memory: int | None = None

    def __str__(self) -> str:
        memory = "" if self.memory is None else f" and {self.memory / 2**30:g} GiB of memory"
        return f"{self.cpus:g} cpus, {self.gpus} gpus{memory}"


class Limits(Spec):
    """Limits of a job; ``memory`` and ``unzipped`` (the content of a zip) in bytes.

    Attributes:
        threads: Threads of torch; None leaves them to the code.
        memory_option: What sets the limit of memory, for the message.
    """

    memory: int
    seconds: float
    unzipped: int
    threads: int | None = None
    memory_option: str = "the sandbox's option --job-memory"


class CodeSpec(Spec):
    """Code of a job.

    Attributes:
        packages: Folders, each the code of one top-level module; relative to the content of ``archive``, if any.
        archive: Zip with the code, which is unpacked once per machine; None if the folders are used where they are.
        digest: Hash of the zip's content.
        unpacked: Folder of ``packages`` that is deleted when the job has ended, or None.
    """

    packages: tuple[Path, ...]
    archive: Path | None = None
    digest: str = ""
    unpacked: Path | None = None


class DriveSpec(Spec):
    """A drive.

    Attributes:
        mounts: Place, source, and the folder of samples of each mount.
        locks: Folder of the locks that servers share, and the folder whose paths they lock; None for one server.
    """

    root: Path
    scratch: Path
    mounts: tuple[tuple[str, str, Path], ...] = ()
    locks: tuple[Path, Path] | None = None

    @classmethod
    def of(cls, drive: Drive) -> Self:
        mounts = tuple((str(mount.at), mount.source, mount.samples) for mount in drive.mounts)
        shared = drive.locks if isinstance(drive.locks, SharedPathLocks) else None
        locks = None if shared is None else (shared.folder, shared.root)
        return cls(root=drive.root, scratch=drive.scratch, mounts=mounts, locks=locks)

    def open(self, scratch: Path | None = None) -> Drive:
        """Open the drive, with a folder for what is being written, on its file system; by default the drive's own."""
        mounts = [Mount(DrivePath.parse(at), source, samples) for at, source, samples in self.mounts]
        locks = None if self.locks is None else SharedPathLocks(*self.locks)
        return Drive(self.root, scratch or self.scratch, mounts, locks)


class JobSpec(Spec):
    """A training job.

    Attributes:
        function: Dotted path of the function to call.
        script_packages: Drive folders of the code, as the request names them; empty for a published package.
        arguments: Its arguments; those in ``secrets`` have no passwords.
        secrets: Names of arguments that the file of secrets in ``folder`` has in full, as JSON.
        folder: The job's folder below the data folder, with its logs.
        models: Folder of the models in use.
        environments: Folder of the virtual environments of requirements.
    """

    job_id: str
    attempt: int = 1
    function: str
    script_packages: tuple[str, ...] = ()
    code: CodeSpec
    arguments: dict[str, Any]
    secrets: tuple[str, ...] = ()
    drive: DriveSpec
    folder: Path
    models: Path
    environments: Path
    limits: Limits
    resources: Resources = Resources()

    @property
    def ref(self) -> JobRef:
        return JobRef(self.job_id, self.attempt)

    @property
    def log(self) -> Path:
        return log_file(self.folder, self.attempt)

    @property
    def arriving(self) -> Path:
        """Folder of what this attempt is writing, until it is complete; without it, the attempt can write nothing."""
        return self.folder / f"arriving-{self.attempt}"

    def next_attempt(self, attempt: int) -> Self:
        return self.model_copy(update={"attempt": attempt})


def log_file(folder: Path, attempt: int) -> Path:
    """Return the log of one attempt."""
    return folder / ("log.txt" if attempt == 1 else f"log-{attempt}.txt")


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        result: What the function returned, if it ended well.
        msg: What went wrong, for the user; None if the job ended well.
        error: The same as the job's code says it; None means ``msg``.
        strace: The stack trace of the job's code.
        fault: Whether the sandbox is to blame, not the job.
    """

    result: Any = None
    msg: str | None = None
    error: str | None = None
    strace: str = ""
    fault: bool = False
