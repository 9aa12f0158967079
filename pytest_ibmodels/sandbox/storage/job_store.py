"""SQL store of jobs, registered models and published packages, which outlive the server."""

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    Connection,
    Engine,
    String,
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
    lock_database,
    not_opened,
    open_engine,
    translate_database_errors,
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
    """Its top-level modules."""
    published: Mapped[float]
    installed: Mapped[bool] = mapped_column(default=False)


class Job(_Base):
    """One job, never changed in place; times in Unix seconds, ``peak_memory`` in bytes.

    Attributes:
        state: PENDING until the job has ended, then DONE.
        task_state: PENDING, STARTED, and at the end DONE or ERROR.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    created: Mapped[float]
    state: Mapped[str] = mapped_column(String(16), default="PENDING")
    task_state: Mapped[str] = mapped_column(String(16), default="PENDING")
    message: Mapped[str] = mapped_column(Text, default="")
    task_data: Mapped[dict[str, Any]] = mapped_column(JSON, default_factory=dict)
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default_factory=list)
    started: Mapped[float | None] = mapped_column(default=None)
    finished: Mapped[float | None] = mapped_column(default=None)
    peak_memory: Mapped[int] = mapped_column(default=0)


class RegisteredModel(_Base):
    """A model name and the folder it is served from; ``registered`` in Unix seconds."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(512), primary_key=True)
    model_path: Mapped[str] = mapped_column(Text)
    program_folder: Mapped[str] = mapped_column(Text)
    registered: Mapped[float]


def _row(record: Job | RegisteredModel, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": getattr(record, name) for name in record.__table__.columns.keys()}  # noqa: SIM118


_FORGET_MODEL = delete(RegisteredModel).where(RegisteredModel.name == bindparam("_name"))
_CHANGING = set(Job.__table__.columns.keys()) - {"id", "kind", "created"}
_WRITE_JOB = (
    # The end of a job is written once: a job that is DONE in the database stays as it is.
    update(Job)
    .where(Job.id == bindparam("_id"), Job.state == "PENDING")
    .values({name: bindparam(f"_{name}") for name in _CHANGING})
)
_SECONDS_PER_JOB = 0.01
"""Batching interval of writes in seconds, multiplied by the number of jobs: hundreds of jobs would otherwise keep the
database busy with reports. A crash loses unwritten reports, but it ends their jobs as well."""
_ENDED_SECONDS = 10.0
"""How long a job whose end is written stays in memory: its client is about to poll it."""


class Store:
    """The store of one tenant. All methods block, and may be called from any thread.

    They raise :class:`StoreError` if the database cannot be read or written, except those that record the progress and
    the end of a job: a job stays in memory, and is answered from there, until its end is written.

    Raises (when made):
        StartError: the database cannot be opened, or another store has it.
        StoreError: the database cannot be read.
    """

    def __init__(self, url: str | URL) -> None:
        # SQLite has one writer at a time; this lock is fair and wakes at once.
        self._writing = threading.Lock()
        # Jobs that have not ended, or whose end is not written.
        self._kept: dict[str, Job] = {}
        # The ids of those that are not written as they are now.
        self._behind: set[str] = set()
        # Jobs whose end was written a moment ago.
        self._ended: dict[str, Job] = {}
        self._written = time.monotonic()
        self._refused = False
        self._engine = open_engine(url)
        self._lock = None
        try:
            self._lock = lock_database(url)
            self._models = self._open()
        except BaseException:
            self.close()
            raise

    @property
    def engine(self) -> Engine:
        """Engine of the database, for tables that are no concern of jobs."""
        return self._engine

    def close(self) -> None:
        """Close all connections and release the database."""
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _open(self) -> dict[str, RegisteredModel]:
        """Create missing tables; return the registered models, which no other process changes."""
        try:
            _Base.metadata.create_all(self._engine)
        except (SQLAlchemyError, ImportError) as error:
            raise not_opened(error) from error
        with self._transaction() as connection:
            models = [RegisteredModel(**row) for row in connection.execute(select(RegisteredModel)).mappings()]
        return {model.name: model for model in models}

    # --- jobs ---

    def new_job(self, kind: str) -> str:
        """Create a job, which is pending until :meth:`start`, and return its id."""
        job = Job(uuid.uuid4().hex, kind, time.time())
        with self._writing:
            with self._transaction() as connection:
                connection.execute(insert(Job), _row(job))
            self._kept[job.id] = job
        return job.id

    def kept_job(self, job_id: str) -> Job | None:
        """Return a job that is in memory, without blocking; None if it is not, though the database may have it."""
        return self._kept.get(job_id) or self._ended.get(job_id)

    def job(self, job_id: str) -> Job | None:
        kept = self.kept_job(job_id)
        if kept is not None:
            return kept
        with self._transaction() as connection:
            row = connection.execute(select(Job).where(Job.id == job_id)).mappings().first()
        return None if row is None else Job(**row)

    def start(self, job_id: str) -> None:
        self._update(job_id, task_state="STARTED", started=time.time())

    def report(self, job_id: str, **columns: Any) -> None:
        """Record the ``task_data``, ``message`` or ``peak_memory`` of a running job."""
        self._update(job_id, **columns)

    def succeed(self, job_id: str, result: dict[str, Any]) -> None:
        result = {"status": "OK", **result}
        self._update(job_id, state="DONE", task_state="DONE", results=[result], finished=time.time())

    def fail(self, job_id: str, msg: str, *, error: str | None = None, strace: str = "", fault: bool = False) -> None:
        """End a job as failed.

        Args:
            job_id: the job.
            msg: what went wrong, for the user.
            error: the same as the job's code says it; None means ``msg`` (Instabase protocol, "Jobs").
            strace: the stack trace of the job's code.
            fault: whether the sandbox is to blame, not the job.
        """
        result = {"status": "ERROR", "msg": msg, "error": error or msg, "strace": strace}
        if fault:
            result["fault"] = ENVIRONMENT_FAULT
        self._update(job_id, state="DONE", task_state="ERROR", results=[result], message=msg, finished=time.time())

    def fail_unfinished(self) -> None:
        """Fail the jobs that a former server left running or waiting."""
        with self._transaction() as connection:
            unfinished = connection.execute(select(Job).where(Job.state == "PENDING")).mappings().all()
        for row in unfinished:
            job = Job(**row)
            self._kept[job.id] = job
            self.fail(job.id, RESTARTED, fault=True)

    def flush(self) -> None:
        """Write what the database does not have yet, and retry failed writes."""
        with self._writing:
            self._write(set(self._behind))
            before = time.time() - _ENDED_SECONDS
            self._ended = {job.id: job for job in self._ended.values() if (job.finished or 0.0) > before}

    def forget_ended_before(self, moment: float) -> list[str]:
        """Delete the jobs that ended before ``moment``, in Unix seconds; return their ids."""
        old = (Job.state == "DONE", Job.finished < moment)
        with self._writing:
            with self._transaction() as connection:
                gone = list(connection.scalars(delete(Job).where(*old).returning(Job.id)))
            for job_id in gone:
                self._ended.pop(job_id, None)
        return gone

    def _update(self, job_id: str, **columns: Any) -> None:
        with self._writing:
            job = self._kept.get(job_id)
            # A job ends once: a late report or cancel changes nothing.
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
                rows = [_row(job, "_") for job in jobs]
                connection.execute(_WRITE_JOB, rows)
        except StoreError as error:
            if not self._refused:
                names = ", ".join(job.id for job in jobs)
                logger.error("jobs %s: %s; the new state is kept in memory until it can be written", names, error)  # noqa: TRY400
            self._refused = True
            return
        self._refused = False
        for job in jobs:
            self._behind.discard(job.id)
            if job.state == "DONE":
                self._ended[job.id] = self._kept.pop(job.id)

    # --- models ---

    def register(self, name: str, *, model_path: str, program_folder: str) -> None:
        """Serve ``name`` from ``model_path``, and to Refiner programs in ``program_folder`` that name no model."""
        model = RegisteredModel(name, model_path, program_folder, time.time())
        with self._writing:
            with self._transaction() as connection:
                connection.execute(_FORGET_MODEL, {"_name": name})
                connection.execute(insert(RegisteredModel), _row(model))
            self._models[name] = model

    def forget_models_below(self, path: str) -> list[str]:
        """Delete the models served from ``path`` or below it; return their names."""
        with self._writing:
            gone = [model.name for model in self._models.values() if f"{model.model_path}/".startswith(f"{path}/")]
            if gone:
                with self._transaction() as connection:
                    connection.execute(_FORGET_MODEL, [{"_name": name} for name in gone])
            for name in gone:
                del self._models[name]
        return gone

    def models(self) -> list[RegisteredModel]:
        return sorted(self._models.values(), key=lambda model: model.name)

    def model(self, name: str) -> RegisteredModel | None:
        return self._models.get(name)

    def model_of_folder(self, program_folder: str) -> RegisteredModel | None:
        """The newest model registered for the folder of a Refiner program; None if there is none."""
        with self._writing:
            found = [model for model in self._models.values() if model.program_folder == program_folder]
        return max(found, key=lambda model: model.registered, default=None)

    # --- packages ---

    def packages(self) -> list[PackageRow]:
        """All published packages, in no particular order."""
        with self._session() as session:
            return list(session.scalars(select(PackageRow)))

    def package(self, name: str, version: str) -> PackageRow | None:
        with self._session() as session:
            return session.get(PackageRow, (name, version))

    def add_package(self, row: PackageRow) -> None:
        with self._writing_session() as session:
            session.add(row)

    def mark_installed(self, name: str, version: str) -> None:
        here = (PackageRow.name == name, PackageRow.version == version)
        with self._writing_session() as session:
            session.execute(update(PackageRow).where(*here).values(installed=True))

    def remove_package(self, name: str, version: str) -> None:
        here = (PackageRow.name == name, PackageRow.version == version)
        with self._writing_session() as session:
            session.execute(delete(PackageRow).where(*here))

    # --- the database ---

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with translate_database_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with translate_database_errors(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _writing_session(self) -> Iterator[Session]:
        with self._writing, self._session() as session, session.begin():
            yield session
