"""Tables of a store, and the columns and indexes that a database of an older version lacks."""

from typing import Any, Protocol

from sqlalchemy import JSON, Connection, Index, String, Text, false, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column
from sqlalchemy.schema import CreateColumn

CANCELLED = "cancelled"
"""Message of a cancelled job."""
TRAIN = "train"
"""Kind of jobs that wait in the queue; jobs of other kinds are threads of the server that created them."""


class Base(MappedAsDataclass, DeclarativeBase):
    """Base of all tables; a column that was added later has a ``server_default``, or may be null."""


class PackageRow(Base):
    """One version of a published package; ``published`` in Unix seconds."""

    __tablename__ = "packages"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    version: Mapped[str] = mapped_column(String(255), primary_key=True)
    modules: Mapped[list[str]] = mapped_column(JSON)
    """Its top-level modules."""
    published: Mapped[float]
    installed: Mapped[bool] = mapped_column(default=False)


class RegisteredModel(Base):
    """A model name and the folder it is served from; ``registered`` in Unix seconds."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(512), primary_key=True)
    model_path: Mapped[str] = mapped_column(Text)
    program_folder: Mapped[str] = mapped_column(Text)
    registered: Mapped[float]


class Server(Base):
    """A server that shares the database; times in Unix seconds of the database's clock."""

    __tablename__ = "servers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    folder: Mapped[str] = mapped_column(String(64))
    """Id of its data folder."""
    seen: Mapped[float]
    """Time of its last sign of life."""
    steady: Mapped[float]
    """Time since when its signs of life come without a long gap."""


def waits(kind: str, state: str, task_state: str) -> bool:
    """Whether a job is a training that no server has started yet."""
    return (kind, state, task_state) == (TRAIN, "PENDING", "PENDING")


class Queued(Protocol):
    """Part of a job that tells its place in the queue."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def created(self) -> float:
        """Time of its creation, in Unix seconds."""

    @property
    def is_waiting(self) -> bool:
        """Whether this is a training that no server has started yet."""


class Job(Base):
    """One job, never changed in place; times in Unix seconds, ``peak_memory`` in bytes.

    Attributes:
        state: PENDING until the job has ended, then DONE.
        task_state: PENDING, STARTED, and at the end DONE or ERROR.
        attempt: Number of the attempt, starting at 1.
        owner: Id of the server that looks after the job. None means that no server has claimed it.
        node: Name of the machine that runs the job.
        spec: Everything a server needs to start the job, without secrets.
        retries: Further attempts that are allowed after the first was lost.
        lost: One sentence for each lost attempt.
        idempotency_key: Key by which a repeated request finds the job of the first.
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
    attempt: Mapped[int] = mapped_column(default=1, server_default="1")
    owner: Mapped[str | None] = mapped_column(String(64), default=None)
    node: Mapped[str | None] = mapped_column(String(255), default=None)
    cancel_requested: Mapped[bool] = mapped_column(default=False, server_default=false())
    spec: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    resources: Mapped[dict[str, Any]] = mapped_column(JSON, default_factory=dict, server_default="{}")
    retries: Mapped[int] = mapped_column(default=1, server_default="1")
    lost: Mapped[list[str]] = mapped_column(JSON, default_factory=list, server_default="[]")
    model_name: Mapped[str] = mapped_column(String(512), default="", server_default="")
    idempotency_key: Mapped[str | None] = mapped_column(String(255), default=None)

    @property
    def is_waiting(self) -> bool:
        """Whether this is a training that no server has started yet."""
        return waits(self.kind, self.state, self.task_state)

    __table_args__ = (
        Index("jobs_by_state", "state", "task_state", "created"),
        Index("jobs_by_owner", "owner"),
        Index("jobs_newest_first", "created", "id"),
        Index("jobs_by_model", "model_name"),
        # An index, as SQLite adds no column that is unique.
        Index("jobs_by_key", "idempotency_key", unique=True),
    )


JOB_COLUMNS = tuple(Job.__table__.columns)


def row_of(record: Base, prefix: str = "") -> dict[str, Any]:
    """Columns of a record, by name."""
    return {f"{prefix}{name}": getattr(record, name) for name in record.__table__.columns.keys()}  # noqa: SIM118


def create_missing(connection: Connection) -> None:
    """Create the tables, columns and indexes that the database does not have yet."""
    present = inspect(connection)
    before = {name: {column["name"] for column in present.get_columns(name)} for name in present.get_table_names()}
    Base.metadata.create_all(connection)
    for table in Base.metadata.sorted_tables:
        known = before.get(table.name)
        if known is None:
            continue
        quoted = connection.dialect.identifier_preparer.format_table(table)
        for column in table.columns:
            if column.name not in known:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {quoted} ADD COLUMN {definition}"))
        for index in table.indexes:
            index.create(connection, checkfirst=True)
