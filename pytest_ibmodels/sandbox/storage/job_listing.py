"""Pages of the list of jobs, newest first, as the portal shows them.

The listing reads only the table's small columns: results and reports of a job may be large.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import ColumnElement, func, select

from pytest_ibmodels.sandbox.storage.paging import key_of, page_of
from pytest_ibmodels.sandbox.storage.tables import CANCELLED, TRAIN, Job, waits
from pytest_ibmodels.sandbox.storage.transactions import Database

_SMALL = (
    "id", "kind", "created", "state", "task_state", "message", "started", "finished", "peak_memory",
    "model_name", "node", "attempt")  # fmt: skip
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JOB_STATES: tuple[JobState, ...] = get_args(JobState)


@dataclass(frozen=True)
class ListedJobRow:
    """A job in the list; times in Unix seconds, ``peak_memory`` in bytes, None for what is not known."""

    id: str
    kind: str
    created: float
    state: str
    task_state: str
    message: str
    started: float | None
    finished: float | None
    peak_memory: int
    model_name: str
    node: str | None
    attempt: int

    @property
    def shown_state(self) -> JobState:
        """State as a person calls it."""
        return shown_state(self.task_state, self.message)

    @property
    def is_waiting(self) -> bool:
        """Whether this is a training that no server has started yet."""
        return waits(self.kind, self.state, self.task_state)

    @property
    def key(self) -> str:
        """Key for paging."""
        return key_of(self.created, self.id)


@dataclass(frozen=True)
class JobPage:
    """A page of the list.

    Attributes:
        older: Whether there are older jobs than those of the page.
        newer: Whether there are newer ones.
    """

    rows: tuple[ListedJobRow, ...]
    older: bool
    newer: bool


def shown_state(task_state: str, message: str) -> JobState:
    """Return a job's state as a person calls it."""
    match task_state:
        case "PENDING":
            return "queued"
        case "STARTED":
            return "running"
        case "DONE":
            return "done"
        case _:
            return "cancelled" if message == CANCELLED else "failed"


@dataclass(frozen=True)
class Unfinished:
    """Numbers of jobs that wait and run."""

    queued: int
    running: int


class JobListing:
    """List of one tenant's jobs, read from the database. All methods block and are thread-safe.

    Raises:
        StoreError: The database cannot be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = Job.metadata.tables[Job.__tablename__]
        self._columns = [self._table.c[name] for name in _SMALL]

    def unfinished(self) -> Unfinished:
        """Count the trainings that wait or run."""
        columns = self._table.c
        counts = (
            select(columns.task_state, func.count())
            .where(columns.kind == TRAIN, columns.state == "PENDING")
            .group_by(columns.task_state)
        )
        with self._database.statement() as connection:
            found = {str(state): int(count) for state, count in connection.execute(counts)}
        return Unfinished(found.get("PENDING", 0), found.get("STARTED", 0))

    def models(self, limit: int) -> list[str]:
        """Return the names of models that jobs have, sorted."""
        name = self._table.c.model_name
        names = select(name).where(name != "").distinct().order_by(name).limit(limit)
        with self._database.statement() as connection:
            return list(connection.scalars(names))

    def page(
        self,
        limit: int,
        *,
        state: JobState | None = None,
        model: str | None = None,
        kind: str | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> JobPage:
        """Return a page of jobs, newest first.

        Args:
            limit: Maximum number of jobs.
            state: Only jobs in this state.
            model: Only jobs of this model.
            kind: Only jobs of this kind.
            before: Only jobs older than the one with this key; an invalid key is ignored.
            after: Only jobs newer than the one with this key; of those the oldest.
        """
        columns = self._table.c
        query = select(*self._columns).where(*self._conditions(state, model, kind))
        found = page_of(self._database, query, (columns.created, columns.id), limit, before=before, after=after)
        return JobPage(tuple(ListedJobRow(**row) for row in found.rows), found.older, found.newer)

    def _conditions(self, state: JobState | None, model: str | None, kind: str | None) -> list[ColumnElement[bool]]:
        columns = self._table.c
        found: list[ColumnElement[bool]] = []
        match state:
            case "queued":
                found = [columns.task_state == "PENDING"]
            case "running":
                found = [columns.task_state == "STARTED"]
            case "done":
                found = [columns.task_state == "DONE"]
            case "cancelled":
                found = [columns.task_state == "ERROR", columns.message == CANCELLED]
            case "failed":
                found = [columns.task_state == "ERROR", columns.message != CANCELLED]
        if model is not None:
            found.append(columns.model_name == model)
        if kind is not None:
            found.append(columns.kind == kind)
        return found
