"""Store of one tenant: jobs, registered models and published packages, which outlive the server."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select

from pytest_ibmodels.instabase.wire import ENVIRONMENT_FAULT
from pytest_ibmodels.sandbox.storage.model_store import ModelStore
from pytest_ibmodels.sandbox.storage.package_store import PackageStore
from pytest_ibmodels.sandbox.storage.tables import CANCELLED, TRAIN, Job, Queued
from pytest_ibmodels.sandbox.storage.transactions import Database

RESTARTED = "the sandbox was restarted while this job was running"
LOST_SECONDS = 8.0
"""Time after which a server that gives no sign of life is taken for dead."""

_JOB = select(Job).where(Job.id == bindparam("_id"))


class Store(ABC):
    """Store of one tenant. All methods block, and may be called from any thread.

    Two servers may see the same job, and a job may be started again. Changes of a running job therefore name the
    attempt and the owner; they do nothing if the job has ended, or is another's by now, and say whether they took
    effect.

    Attributes:
        owner: Id of this server.
        models: Registered models.
        packages: Published packages.
    """

    def __init__(self, database: Database, owner: str) -> None:
        self.database = database
        self.owner = owner
        self.models = ModelStore(database)
        self.packages = PackageStore(database)

    def close(self) -> None:
        """Close all connections and release the database."""
        self.database.close()

    # --- jobs, from the first call to the end ---

    def new_job(
        self,
        kind: str,
        *,
        job_id: str | None = None,
        spec: dict[str, Any] | None = None,
        model_name: str = "",
        resources: dict[str, Any] | None = None,
        retries: int = 1,
        key: str | None = None,
    ) -> tuple[str, bool]:
        """Create a job; return its id, and whether it is new.

        Args:
            kind: ``train``, or the kind of a task, which this server owns from the start.
            job_id: Its id; by default a new one.
            spec: As :attr:`Job.spec`.
            model_name: Name of the model that is trained.
            resources: What the job needs of a machine.
            retries: As :attr:`Job.retries`.
            key: Idempotency key: if an earlier job has it, that job is returned.
        """
        job = Job(
            job_id or uuid.uuid4().hex,
            kind,
            time.time(),
            owner=None if kind == TRAIN else self.owner,
            spec=spec,
            model_name=model_name,
            resources=resources or {},
            retries=retries,
            idempotency_key=key,
        )
        if self._add(job):
            return job.id, True
        with self.database.statement() as connection:
            return connection.scalars(select(Job.id).where(Job.idempotency_key == key)).one(), False

    @abstractmethod
    def oldest_waiting(self) -> Job | None:
        """The job that is next in the queue: no server has claimed it yet."""

    @abstractmethod
    def claim(self, job_id: str, owner: str) -> Job | None:
        """Make ``owner`` the owner of a waiting job; None if it does not wait any more, or not at the moment.

        If several servers share the database, a claimed job that has not started yet blocks other claims, so that jobs
        start in the order of the queue.
        """

    def confirm(self, job_id: str, attempt: int, owner: str | None, node: str | None) -> bool:
        """Record that a claimed job has started on ``node``; return False if it must not, or is not ours any more."""
        mine = {**_fence(attempt, owner), "cancel_requested": False}
        first = {**mine, "task_state": "PENDING"}
        if self._change(job_id, first, {"task_state": "STARTED", "started": self._now(), "node": node}):
            return True
        # The answer to an earlier call may have been lost.
        return self._change(job_id, mine, {"node": node})

    def report(self, job_id: str, attempt: int, owner: str | None, **columns: Any) -> bool:
        """Record the ``task_data``, ``message`` or ``peak_memory`` of a running job."""
        return self._change(job_id, _fence(attempt, owner), columns)

    def succeed(self, job_id: str, attempt: int, owner: str | None, result: dict[str, Any]) -> bool:
        end = {"state": "DONE", "task_state": "DONE", "results": [{"status": "OK", **result}]}
        return self._change(job_id, _fence(attempt, owner), {**end, "finished": self._now()})

    def fail(
        self,
        job_id: str,
        attempt: int,
        owner: str | None,
        msg: str,
        *,
        error: str | None = None,
        strace: str = "",
        fault: bool = False,
    ) -> bool:
        """End a job as failed.

        Args:
            job_id: the job.
            attempt: its attempt.
            owner: its owner.
            msg: what went wrong, for the user.
            error: the same as the job's code says it; None means ``msg`` (Instabase protocol, "Jobs").
            strace: the stack trace of the job's code.
            fault: whether the sandbox is to blame, not the job.
        """
        end = failure(msg, error=error, strace=strace, fault=fault)
        return self._change(job_id, _fence(attempt, owner), {**end, "finished": self._now()})

    def try_again(self, job_id: str, attempt: int, owner: str | None, reason: str) -> int | None:
        """Prepare the next attempt of a job whose attempt was lost; ``reason`` is a clause, such as "node B died".

        The job waits for its start again, and keeps its owner and its place in the queue.

        Returns:
            The next attempt; None if no retries are left, a cancel is requested, or the job is not ours any more.
        """
        job = self.job(job_id)
        if job is None or attempt > job.retries:
            return None
        again = {"attempt": attempt + 1, "task_state": "PENDING", "node": None, "started": None, "message": ""}
        # The attempt is part of the condition, so no other server appends to the same list meanwhile.
        mine = {**_fence(attempt, owner), "cancel_requested": False}
        columns = {**again, "task_data": {}, "peak_memory": 0, "lost": [*job.lost, reason]}
        return attempt + 1 if self._change(job_id, mine, columns) else None

    def give_back(self, job_id: str, attempt: int, owner: str) -> bool:
        """Let a job that has been claimed and not started wait for any server."""
        mine = {**_fence(attempt, owner), "task_state": "PENDING"}
        return self._change(job_id, mine, {"owner": None})

    # --- cancelling ---

    def request_cancel(self, job_id: str) -> str:
        """End a job that waits for a server to claim it, or ask its owner to cancel it.

        Returns:
            ``cancelled`` if it has ended by this call, ``requested`` if its owner has to stop it, ``ended`` if it had
            ended before, ``unknown`` if there is no such job.
        """
        waiting = {"state": "PENDING", "task_state": "PENDING", "owner": None}
        if self._change(job_id, waiting, {**failure(CANCELLED), "finished": self._now(), "cancel_requested": True}):
            return "cancelled"
        if self._change(job_id, {"state": "PENDING"}, {"cancel_requested": True}):
            return "requested"
        return "unknown" if self.job(job_id) is None else "ended"

    @abstractmethod
    def cancels_requested(self, owner: str) -> list[str]:
        """Ids of unfinished jobs that ``owner`` has to cancel."""

    # --- looking at jobs ---

    def kept_job(self, job_id: str) -> Job | None:  # noqa: ARG002
        """Return a job that is in memory, without blocking; None if it is not, though the database may have it."""
        return None

    def job(self, job_id: str) -> Job | None:
        with self.database.statement() as connection:
            row = connection.execute(_JOB, {"_id": job_id}).mappings().first()
        return None if row is None else Job(**row)

    def jobs_of_model(self, model_name: str) -> list[str]:
        """Ids of the jobs that train a model of this name, oldest first."""
        with self.database.statement() as connection:
            return list(
                connection.scalars(
                    select(Job.id).where(Job.model_name == model_name, Job.kind == TRAIN).order_by(Job.created, Job.id)
                )
            )

    @abstractmethod
    def count_waiting(self, before: Queued | None = None) -> int:
        """How many jobs of this store wait; with ``before``, those created before a job, maybe of another store."""

    @abstractmethod
    def count_waiting_before(self, jobs: Sequence[Queued]) -> list[int]:
        """As :meth:`count_waiting`, for each of these jobs, with one query of the database for all of them."""

    @abstractmethod
    def running(self, owner: str) -> list[Job]:
        """Unfinished trainings of ``owner``, oldest first, also those that have not started yet."""

    # --- the life of servers ---

    @abstractmethod
    def beat(self, owner: str) -> None:
        """Record a sign of life of a server, which others need every few seconds if they share the database."""

    @abstractmethod
    def servers_seen(self, seconds: float) -> set[str]:
        """Ids of the servers that gave a sign of life in the last ``seconds``."""

    @abstractmethod
    def adopt(self, owner: str, older_than: float = LOST_SECONDS) -> list[Job]:
        """Make ``owner`` the owner of the unfinished jobs of servers that gave no sign of life for ``older_than`` s.

        Jobs of other kinds than ``train`` ended with their server, and are failed.

        Returns:
            The trainings that are ours now, oldest first. Nothing until ``owner`` itself has given signs of life for
            so long: after a failure of the database no server looks alive.
        """

    @abstractmethod
    def fail_unfinished(self, *, with_trainings: bool = True) -> None:
        """Fail the jobs that a former server left running or waiting, unless other servers share the database.

        Args:
            with_trainings: If false, trainings go on, those that run as jobs of this server: other machines run them.
        """

    @abstractmethod
    def flush(self) -> None:
        """Write what the database does not have yet, and retry failed writes."""

    @abstractmethod
    def forget_ended_before(self, moment: float) -> list[str]:
        """Delete the jobs that ended before ``moment``, in Unix seconds; return their ids."""

    # --- the two kinds of stores ---

    @abstractmethod
    def _add(self, job: Job) -> bool:
        """Write a new job; return False if there is one with its idempotency key."""

    @abstractmethod
    def _change(self, job_id: str, expected: Mapping[str, Any], columns: Mapping[str, Any]) -> bool:
        """Set columns of a job if it has the ``expected`` values, in one step; return whether it had."""

    @abstractmethod
    def _now(self) -> float | ColumnElement[float]:
        """The current time in Unix seconds."""


def _fence(attempt: int, owner: str | None) -> dict[str, Any]:
    """Values that a job has as long as this attempt of this owner has not ended."""
    return {"state": "PENDING", "attempt": attempt, "owner": owner}


def failure(msg: str, *, error: str | None = None, strace: str = "", fault: bool = False) -> dict[str, Any]:
    """Columns of a job that ends as failed; arguments as those of :meth:`Store.fail`."""
    result = {"status": "ERROR", "msg": msg, "error": error or msg, "strace": strace}
    if fault:
        result["fault"] = ENVIRONMENT_FAULT
    return {"state": "DONE", "task_state": "ERROR", "results": [result], "message": msg}
