"""Store of a database that no other server uses: unfinished jobs are in memory, and written in batches."""

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from pytest_ibmodels.sandbox.errors import BusyError, StoreError
from pytest_ibmodels.sandbox.storage.job_store import LOST_SECONDS, RESTARTED, Store
from pytest_ibmodels.sandbox.storage.tables import TRAIN, Job, Queued, row_of
from pytest_ibmodels.sandbox.storage.transactions import Database

logger = logging.getLogger(__name__)

_FIXED = {"id", "kind", "created", "spec", "resources", "retries", "model_name", "idempotency_key"}
_WRITE_JOB = (
    # The end of a job is written once: a job that is DONE in the database stays as it is.
    update(Job)
    .where(Job.id == bindparam("_id"), Job.state == "PENDING")
    .values({name: bindparam(f"_{name}") for name in set(Job.__table__.columns.keys()) - _FIXED})
)
_SECONDS_PER_JOB = 0.01
"""Batching interval of writes in seconds, multiplied by the number of jobs: hundreds of jobs would otherwise keep the
database busy with reports. A crash loses unwritten reports, but it ends their jobs as well."""
_ENDED_SECONDS = 10.0
"""How long a job whose end is written stays in memory: its client is about to poll it."""
_TICK = 1e-6
"""Least difference of two times of creation, in seconds: the clock may be set back, and the queue keeps its order."""


class LocalStore(Store):
    """Store of the only server of a database.

    Methods raise :class:`StoreError` if the database cannot be read or written, except those that change a job that was
    created: it stays in memory, and is answered from there, until its end is written.

    Raises (when made):
        StoreError: the database cannot be read.
    """

    def __init__(self, database: Database, owner: str) -> None:
        super().__init__(database, owner)
        self._changing = threading.Lock()
        # Jobs that have not ended, or whose end is not written, oldest first.
        self._kept: dict[str, Job] = {}
        # The ids of those that are not written as they are now.
        self._behind: set[str] = set()
        # Jobs whose end was written a moment ago.
        self._ended: dict[str, Job] = {}
        self._newest = 0.0
        self._written = time.monotonic()
        self._refused = False

    # --- jobs ---

    def oldest_waiting(self) -> Job | None:
        return next((job for job in self._unfinished() if job.is_waiting and job.owner is None), None)

    def claim(self, job_id: str, owner: str) -> Job | None:
        waiting = {"state": "PENDING", "task_state": "PENDING", "owner": None}
        return self.kept_job(job_id) if self._change(job_id, waiting, {"owner": owner}) else None

    def cancels_requested(self, owner: str) -> list[str]:
        return [job.id for job in self._unfinished() if job.owner == owner and job.cancel_requested]

    def kept_job(self, job_id: str) -> Job | None:
        return self._kept.get(job_id) or self._ended.get(job_id)

    def job(self, job_id: str) -> Job | None:
        return self.kept_job(job_id) or super().job(job_id)

    def count_waiting(self, before: Queued | None = None) -> int:
        end = (inf, "") if before is None else (before.created, before.id)
        return sum(job.is_waiting and (job.created, job.id) < end for job in self._unfinished())

    def count_waiting_before(self, jobs: Sequence[Queued]) -> list[int]:
        waiting = sorted((job.created, job.id) for job in self._unfinished() if job.is_waiting)
        return [bisect_left(waiting, (job.created, job.id)) for job in jobs]

    def running(self, owner: str) -> list[Job]:
        return [job for job in self._unfinished() if job.owner == owner and job.kind == TRAIN]

    def beat(self, owner: str) -> None:
        """Do nothing: no other server watches."""

    def servers_seen(self, seconds: float) -> set[str]:  # noqa: ARG002
        return {self.owner}

    def adopt(self, owner: str, older_than: float = LOST_SECONDS) -> list[Job]:  # noqa: ARG002
        return []

    def fail_unfinished(self, *, with_trainings: bool = True) -> None:
        with self.database.statement() as connection:
            oldest_first = select(Job).where(Job.state == "PENDING").order_by(Job.created, Job.id)
            unfinished = connection.execute(oldest_first).mappings().all()
        for row in unfinished:
            job = Job(**row)
            if job.kind == TRAIN and job.spec is not None and not with_trainings:
                self._kept[job.id] = replace(job, owner=job.owner and self.owner)
                self._behind.add(job.id)
                continue
            self._kept[job.id] = job
            self.fail(job.id, job.attempt, job.owner, RESTARTED, fault=True)

    def flush(self) -> None:
        with self._changing:
            self._write(set(self._behind))
            before = time.time() - _ENDED_SECONDS
            self._ended = {job.id: job for job in self._ended.values() if (job.finished or 0.0) > before}

    def forget_ended_before(self, moment: float) -> list[str]:
        old = (Job.state == "DONE", Job.finished < moment)
        with self._changing:
            with self.database.writing() as connection:
                gone = list(connection.scalars(delete(Job).where(*old).returning(Job.id)))
            for job_id in gone:
                self._ended.pop(job_id, None)
        return gone

    def _unfinished(self) -> list[Job]:
        with self._changing:
            return [job for job in self._kept.values() if job.state == "PENDING"]

    def _add(self, job: Job) -> bool:
        with self._changing:
            self._newest = max(job.created, self._newest + _TICK)
            job = replace(job, created=self._newest)
            is_new = self.database.add(insert(Job).values(row_of(job)))
            if is_new:
                self._kept[job.id] = job
        return is_new

    def _now(self) -> float:
        return time.time()

    def _change(self, job_id: str, expected: Mapping[str, Any], columns: Mapping[str, Any]) -> bool:
        with self._changing:
            job = self._kept.get(job_id)
            if job is None or any(getattr(job, name) != value for name, value in expected.items()):
                return False
            job = self._kept[job_id] = replace(job, **columns)
            self._behind.add(job_id)
            if time.monotonic() - self._written > _SECONDS_PER_JOB * len(self._kept):
                self._write(set(self._behind))
            elif job.state == "DONE":
                self._write({job_id})
        return True

    def _write(self, job_ids: Iterable[str]) -> None:
        """Write jobs in one transaction; the caller holds the lock."""
        jobs = [self._kept[job_id] for job_id in job_ids]
        if not jobs:
            return
        self._written = time.monotonic()
        try:
            with self.database.writing() as connection:
                rows = [row_of(job, "_") for job in jobs]
                connection.execute(_WRITE_JOB, rows)
        except (StoreError, BusyError) as error:
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
