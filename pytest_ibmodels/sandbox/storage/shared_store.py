"""Store of a PostgreSQL database that several servers share: nothing is answered from memory."""

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    String,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased

from pytest_ibmodels.sandbox.errors import DataInUseError, SandboxError
from pytest_ibmodels.sandbox.storage.data_folder import DataFolder
from pytest_ibmodels.sandbox.storage.job_store import LOST_SECONDS, RESTARTED, Store, failure
from pytest_ibmodels.sandbox.storage.tables import JOB_COLUMNS, TRAIN, Job, Queued, Server, row_of
from pytest_ibmodels.sandbox.storage.transactions import Database, database_now, lock_servers

_FORGOTTEN_SECONDS = 86_400.0


def _waits(job: type[Job]) -> tuple[ColumnElement[bool], ...]:
    """Conditions of a training that waits in the queue, also for its start after a claim."""
    return job.kind == TRAIN, job.state == "PENDING", job.task_state == "PENDING"


# Built once: building a statement takes longer than running it.
_waiting, _other = aliased(Job), aliased(Job)
_OLDEST = select(Job).where(*_waits(Job), Job.owner.is_(None)).order_by(Job.created, Job.id).limit(1)
_FREE = (
    select(_waiting.id)
    .where(*_waits(_waiting), _waiting.id == bindparam("_id"), _waiting.owner.is_(None))
    .where(~exists().where(*_waits(_other), _other.owner.is_not(None)))
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_CLAIM = update(Job).where(Job.id == _FREE).values(owner=bindparam("_owner")).returning(*JOB_COLUMNS)
_BEFORE = tuple_(Job.created, Job.id) < tuple_(bindparam("_created", type_=Float), bindparam("_id", type_=String))
_COUNT_BEFORE = select(func.count()).where(*_waits(Job), _BEFORE)
# Waiting jobs and those that are asked about, sorted as one: a sum that runs over them reads each once, however many
# are asked about.
_asked = (
    func.unnest(bindparam("_created", type_=ARRAY(Float)), bindparam("_ids", type_=ARRAY(String)))
    .table_valued(column("created", Float), column("id", String), with_ordinality="place")
    .render_derived()
)
_sorted = union_all(
    select(Job.created, Job.id, literal_column("1").label("waits"), literal_column("0").label("place")).where(
        *_waits(Job)
    ),
    select(_asked.c.created, _asked.c.id, literal_column("0"), _asked.c.place),
).subquery()
_before = func.sum(_sorted.c.waits).over(order_by=(_sorted.c.created, _sorted.c.id, _sorted.c.waits), rows=(None, 0))
_summed = select(_sorted.c.place, _before.label("before")).subquery()
_COUNT_BEFORE_EACH = select(_summed.c.before).where(_summed.c.place > 0).order_by(_summed.c.place)


class SharedStore(Store):
    """Store of one of several servers. All methods raise :class:`StoreError` if the database cannot be used.

    Times are those of the database's clock.
    """

    def __init__(self, database: Database, owner: str, folder: DataFolder | None = None) -> None:
        super().__init__(database, owner)
        self._folder = "" if folder is None else folder.id
        if folder is not None:
            self._check_folder(folder)
        self.beat(owner)

    def close(self) -> None:
        """Close all connections; jobs that are left go to the other servers."""
        with suppress(SandboxError), self.database.writing() as connection:
            connection.execute(delete(Server).where(Server.id == self.owner))
        super().close()

    # --- jobs ---

    def oldest_waiting(self) -> Job | None:
        with self.database.statement() as connection:
            row = connection.execute(_OLDEST).mappings().first()
        return None if row is None else Job(**row)

    def claim(self, job_id: str, owner: str) -> Job | None:
        with self.database.writing() as connection:
            lock_servers(connection)
            row = connection.execute(_CLAIM, {"_id": job_id, "_owner": owner}).mappings().first()
        return None if row is None else Job(**row)

    def cancels_requested(self, owner: str) -> list[str]:
        with self.database.statement() as connection:
            mine = (Job.owner == owner, Job.state == "PENDING", Job.cancel_requested)
            return list(connection.scalars(select(Job.id).where(*mine).order_by(Job.created, Job.id)))

    def count_waiting(self, before: Queued | None = None) -> int:
        end = {"_created": inf, "_id": ""} if before is None else {"_created": before.created, "_id": before.id}
        with self.database.statement() as connection:
            return connection.scalar(_COUNT_BEFORE, end) or 0

    def count_waiting_before(self, jobs: Sequence[Queued]) -> list[int]:
        asked = {"_created": [job.created for job in jobs], "_ids": [job.id for job in jobs]}
        with self.database.statement() as connection:
            return list(connection.scalars(_COUNT_BEFORE_EACH, asked))

    def running(self, owner: str) -> list[Job]:
        mine = (Job.owner == owner, Job.state == "PENDING", Job.kind == TRAIN)
        with self.database.statement() as connection:
            rows = connection.execute(select(Job).where(*mine).order_by(Job.created, Job.id)).mappings()
            return [Job(**row) for row in rows]

    def forget_ended_before(self, moment: float) -> list[str]:
        old = (Job.state == "DONE", Job.finished < moment)
        with self.database.statement() as connection:
            return list(connection.scalars(delete(Job).where(*old).returning(Job.id)))

    # --- servers ---

    def _check_folder(self, folder: DataFolder) -> None:
        """Check that all servers of this database have the same data folder, and those of the folder this database.

        Raises:
            DataInUseError: they do not.
        """
        is_alive = Server.seen > database_now() - LOST_SECONDS
        has_jobs = exists().where(Job.owner == Server.id, Job.state == "PENDING")
        with self.database.writing() as connection:
            connection.execute(delete(Server).where(Server.seen < database_now() - _FORGOTTEN_SECONDS, ~has_jobs))
            other = connection.scalar(select(Server.name).where(Server.folder != folder.id, is_alive))
            known = connection.scalar(select(func.count()).where(Server.folder == folder.id))
        if other is not None:
            raise DataInUseError(
                f"the database is in use by a sandbox on {other} with another data folder; all servers of a database "
                "need the same --data, in a file system that their machines share"
            )
        if not folder.is_alone and not known:
            raise DataInUseError(
                "the data folder is in use by a sandbox with another database; give both the same --database, or this "
                "one another --data"
            )

    def servers_seen(self, seconds: float) -> set[str]:
        with self.database.statement() as connection:
            return set(connection.scalars(select(Server.id).where(Server.seen > database_now() - seconds)))

    def beat(self, owner: str) -> None:
        now = database_now()
        alive = upsert(Server).values(id=owner, name=socket.gethostname(), folder=self._folder, seen=now, steady=now)
        steady = case((Server.seen < now - LOST_SECONDS, now), else_=Server.steady)
        with self.database.statement() as connection:
            connection.execute(alive.on_conflict_do_update(index_elements=["id"], set_={"seen": now, "steady": steady}))

    def adopt(self, owner: str, older_than: float = LOST_SECONDS) -> list[Job]:
        before = database_now() - older_than
        alive = select(Server.id).where(Server.seen > before)
        left = (Job.state == "PENDING", Job.owner != owner, Job.owner.not_in(alive))
        with self.database.writing() as connection:
            lock_servers(connection)
            if not connection.scalar(select(Server.steady <= before).where(Server.id == owner)):
                return []
            ended = {**failure(RESTARTED, fault=True), "finished": database_now()}
            connection.execute(update(Job).where(*left, Job.kind != TRAIN).values(ended))
            adopted = update(Job).where(*left).values(owner=owner).returning(*JOB_COLUMNS)
            jobs = [Job(**row) for row in connection.execute(adopted).mappings()]
        return sorted(jobs, key=lambda job: (job.created, job.id))

    def fail_unfinished(self, *, with_trainings: bool = True) -> None:
        """Do nothing: the jobs go on, and :meth:`adopt` finds those of dead servers."""

    def flush(self) -> None:
        """Do nothing: everything is written at once."""

    def _add(self, job: Job) -> bool:
        return self.database.add(insert(Job).values({**row_of(job), "created": database_now()}))

    def _now(self) -> ColumnElement[float]:
        return database_now()

    def _change(self, job_id: str, expected: Mapping[str, Any], columns: Mapping[str, Any]) -> bool:
        conditions = [getattr(Job, name) == value for name, value in expected.items()]
        changed = update(Job).where(Job.id == job_id, *conditions).values(columns)
        with self.database.statement() as connection:
            return connection.execute(changed).rowcount == 1
