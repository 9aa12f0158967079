"""What outlives the server: the jobs, the registered models and the published packages, in a SQL database."""

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    Column,
    Connection,
    Float,
    Integer,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from pytest_ibmodels.instabase.wire import ENVIRONMENT_FAULT
from pytest_ibmodels.sandbox.errors import StoreError
from pytest_ibmodels.sandbox.storage.databases import (
    claim_database,
    database_errors,
    not_opened,
    open_engine,
)

logger = logging.getLogger(__name__)

RESTARTED = "the sandbox was restarted while this job was running"


class _Base(MappedAsDataclass, DeclarativeBase):
    pass


class PackageRow(_Base):
    """One version of a published package; ``published`` in Unix seconds."""

    __tablename__ = "packages"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    version: Mapped[str] = mapped_column(String(255), primary_key=True)
    modules: Mapped[list[str]] = mapped_column(JSON)
    """The top-level modules that it brings."""
    published: Mapped[float]
    installed: Mapped[bool] = mapped_column(default=False)


@dataclass(frozen=True)
class Job:
    """One job; ``created``, ``started`` and ``finished`` in Unix seconds, ``peak_memory`` in bytes.

    Attributes:
        state: PENDING until the job has ended, then DONE.
        task_state: PENDING, STARTED, and at the end DONE or ERROR.
    """

    id: str
    kind: str
    created: float
    state: str = "PENDING"
    task_state: str = "PENDING"
    message: str = ""
    task_data: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    started: float | None = None
    finished: float | None = None
    peak_memory: int = 0


_JOBS = Table(
    "jobs",
    _Base.metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("task_state", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("task_data", JSON, nullable=False),
    Column("results", JSON, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("peak_memory", Integer, nullable=False),
)
_MODELS = Table(
    "models",
    _Base.metadata,
    Column("name", String(512), primary_key=True),
    Column("model_path", Text, nullable=False),
    Column("program_folder", Text, nullable=False),
    Column("registered", Float, nullable=False),
)
_FORGET_MODEL = delete(_MODELS).where(_MODELS.c.name == bindparam("_name"))
_CHANGING = {column.name for column in _JOBS.columns} - {"id", "kind", "created"}
_WRITE_JOB = (
    # A job ends once, also in the database.
    update(_JOBS)
    .where(_JOBS.c.id == bindparam("_id"), _JOBS.c.state == "PENDING")
    .values({name: bindparam(f"_{name}") for name in _CHANGING})
)
_SECONDS_PER_JOB = 0.01
"""For so long, times the jobs there are, reports are written together: hundreds of jobs would otherwise do little else
than report. What the database misses is lost only with the jobs themselves."""
_ENDED_SECONDS = 10.0
"""For so long a job whose end is written is answered from memory still: somebody is about to ask how it ended."""


@dataclass(frozen=True)
class RegisteredModel:
    """A model name and the folder it is served from, as ``annotator/export_model`` registered it in Unix seconds."""

    name: str
    model_path: str
    program_folder: str
    registered: float


class Store:
    """All methods block, and may be called from any thread.

    They raise :class:`StoreError` if the database cannot be read or written; but what a job that was begun reports, and
    its end, are never lost to that: jobs that have not ended are kept in memory, and answered from there, and so are
    those whose end could not be written yet.

    Raises (when made):
        StartError: if the database cannot be opened, or another store has it; StoreError: if it cannot be read.
    """

    def __init__(self, url: str | URL) -> None:
        # SQLite has one writer at a time; waiting here is fair and wakes at once.
        self._writing = threading.Lock()
        self._kept: dict[str, Job] = {}
        """Jobs of this server that have not ended, or whose end is not written."""
        self._behind: set[str] = set()
        """The ids of those of them that the database knows otherwise."""
        self._ended: dict[str, Job] = {}
        """Those whose end was written a moment ago."""
        self._written = time.monotonic()
        self._refused = False
        self._engine = open_engine(url)
        self._claim = None
        try:
            self._claim = claim_database(url)
            self._models = self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections, and let go of the database."""
        self._engine.dispose()
        if self._claim is not None:
            self._claim.close()

    def _open(self) -> dict[str, RegisteredModel]:
        """Make what tables are missing; the registered models, of which this server is the only user."""
        try:
            _Base.metadata.create_all(self._engine)
        except (SQLAlchemyError, ImportError) as error:
            raise not_opened(error) from error
        with self._transaction() as connection:
            models = [RegisteredModel(**row) for row in connection.execute(select(_MODELS)).mappings()]
        return {model.name: model for model in models}

    # --- jobs ---

    def new_job(self, kind: str) -> str:
        """A new job's id; the job waits until :meth:`start`."""
        job = Job(uuid.uuid4().hex, kind, time.time())
        with self._writing:
            with self._transaction() as connection:
                connection.execute(insert(_JOBS), vars(job))
            self._kept[job.id] = job
        return job.id

    def kept_job(self, job_id: str) -> Job | None:
        """A job that is kept in memory; does not block. Any other may still be in the database."""
        return self._kept.get(job_id) or self._ended.get(job_id)

    def job(self, job_id: str) -> Job | None:
        kept = self.kept_job(job_id)
        if kept is not None:
            return kept
        with self._transaction() as connection:
            row = connection.execute(select(_JOBS).where(_JOBS.c.id == job_id)).mappings().first()
        return None if row is None else Job(**row)

    def start(self, job_id: str) -> None:
        self._update(job_id, task_state="STARTED", started=time.time())

    def report(self, job_id: str, **columns: Any) -> None:
        """Store what a running job reports: ``task_data``, ``message`` or ``peak_memory``."""
        self._update(job_id, **columns)

    def succeed(self, job_id: str, result: dict[str, Any]) -> None:
        result = {"status": "OK", **result}
        self._update(job_id, state="DONE", task_state="DONE", results=[result], finished=time.time())

    def fail(self, job_id: str, msg: str, *, error: str | None = None, strace: str = "", fault: bool = False) -> None:
        """End a job as failed: ``msg`` for the user, ``error`` and ``strace`` as section 3.2 has them.

        ``fault`` says that the sandbox is to blame, and not what the job was to do.
        """
        result = {"status": "ERROR", "msg": msg, "error": error or msg, "strace": strace}
        if fault:
            result["fault"] = ENVIRONMENT_FAULT
        self._update(job_id, state="DONE", task_state="ERROR", results=[result], message=msg, finished=time.time())

    def fail_unfinished(self) -> None:
        """End what a former server left running or waiting."""
        with self._transaction() as connection:
            unfinished = connection.execute(select(_JOBS).where(_JOBS.c.state == "PENDING")).mappings().all()
        for row in unfinished:
            job = Job(**row)
            self._kept[job.id] = job
            self.fail(job.id, RESTARTED, fault=True)

    def write_what_was_kept(self) -> None:
        """Write what the database does not know yet; also to try again what could not be written."""
        with self._writing:
            self._write(set(self._behind))
            before = time.time() - _ENDED_SECONDS
            self._ended = {job.id: job for job in self._ended.values() if (job.finished or 0.0) > before}

    def forget_ended_before(self, moment: float) -> list[str]:
        """Forget the jobs that had ended by ``moment``, in Unix seconds; their ids."""
        old = (_JOBS.c.state == "DONE", _JOBS.c.finished < moment)
        with self._writing:
            with self._transaction() as connection:
                gone = list(connection.scalars(delete(_JOBS).where(*old).returning(_JOBS.c.id)))
            for job_id in gone:
                self._ended.pop(job_id, None)
        return gone

    def _update(self, job_id: str, **columns: Any) -> None:
        with self._writing:
            job = self._kept.get(job_id)
            # A job ends once: what comes later (a report that was under way, a cancel) changes nothing.
            if job is None or job.state == "DONE":
                return
            job = self._kept[job_id] = replace(job, **columns)
            self._behind.add(job_id)
            if time.monotonic() - self._written > _SECONDS_PER_JOB * len(self._kept):
                self._write(set(self._behind))
            elif job.state == "DONE":
                self._write({job_id})

    def _write(self, job_ids: Iterable[str]) -> None:
        """Write jobs in one transaction; the caller holds the lock."""
        jobs = [self._kept[job_id] for job_id in job_ids]
        if not jobs:
            return
        self._written = time.monotonic()
        try:
            with self._transaction() as connection:
                rows = [{f"_{name}": value for name, value in vars(job).items()} for job in jobs]
                connection.execute(_WRITE_JOB, rows)
        except StoreError as error:
            if not self._refused:
                names = ", ".join(job.id for job in jobs)
                logger.error("jobs %s: %s; what is new is kept in memory until it can be written", names, error)  # noqa: TRY400
            self._refused = True
            return
        self._refused = False
        for job in jobs:
            self._behind.discard(job.id)
            if job.state == "DONE":
                self._ended[job.id] = self._kept.pop(job.id)

    # --- models ---

    def register(self, name: str, *, model_path: str, program_folder: str) -> None:
        """Serve ``name`` from ``model_path``, also for Refiner programs in ``program_folder`` that name no model."""
        model = RegisteredModel(name, model_path, program_folder, time.time())
        with self._writing:
            with self._transaction() as connection:
                connection.execute(_FORGET_MODEL, {"_name": name})
                connection.execute(insert(_MODELS), vars(model))
            self._models[name] = model

    def forget_models_below(self, path: str) -> list[str]:
        """Forget the models that are served from ``path`` or below it, which is gone; their names."""
        with self._writing:
            gone = [model.name for model in self._models.values() if f"{model.model_path}/".startswith(f"{path}/")]
            if gone:
                with self._transaction() as connection:
                    connection.execute(_FORGET_MODEL, [{"_name": name} for name in gone])
            for name in gone:
                del self._models[name]
        return gone

    def model(self, name: str) -> RegisteredModel | None:
        return self._models.get(name)

    def model_of_folder(self, program_folder: str) -> RegisteredModel | None:
        """The model that was registered last for the folder of a Refiner program."""
        with self._writing:
            found = [model for model in self._models.values() if model.program_folder == program_folder]
        return max(found, key=lambda model: model.registered, default=None)

    # --- packages ---

    def packages(self) -> list[PackageRow]:
        """All published packages, in no particular order."""
        with self._look() as session:
            return list(session.scalars(select(PackageRow)))

    def package(self, name: str, version: str) -> PackageRow | None:
        with self._look() as session:
            return session.get(PackageRow, (name, version))

    def add_package(self, row: PackageRow) -> None:
        with self._change() as session:
            session.add(row)

    def mark_installed(self, name: str, version: str) -> None:
        here = (PackageRow.name == name, PackageRow.version == version)
        with self._change() as session:
            session.execute(update(PackageRow).where(*here).values(installed=True))

    def remove_package(self, name: str, version: str) -> None:
        here = (PackageRow.name == name, PackageRow.version == version)
        with self._change() as session:
            session.execute(delete(PackageRow).where(*here))

    # --- the database ---

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with database_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _look(self) -> Iterator[Session]:
        with database_errors(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _change(self) -> Iterator[Session]:
        with self._writing, self._look() as session, session.begin():
            yield session
