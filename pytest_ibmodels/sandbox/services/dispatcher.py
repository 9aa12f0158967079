"""Takes the waiting jobs of all tenants in order, has the executor run them, and stores what becomes of them.

Several servers may do so on one database: a job has one owner at a time, and every write names the owner and the
attempt, so that nothing that comes late counts.
"""

import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.executor import Executor, JobStatus
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Outcome, Resources
from pytest_ibmodels.sandbox.storage.job_secrets import delete_secrets
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.tables import CANCELLED, Job, Queued

logger = logging.getLogger(__name__)

_STEP_SECONDS = 0.5
_BEAT_SECONDS = 2.0
_STUCK_SECONDS = 60.0
"""Time after which a server whose step does not end leaves its jobs to others."""
_RETRY_SECONDS = 5.0
_CANCELS_AT_ONCE = 4


@dataclass(eq=False)
class _Watched:
    """An attempt that this server has claimed."""

    store: Store
    spec: JobSpec
    begun: bool = False
    """Whether the database has it as started."""
    version: int = -1
    """Newest status that was stored."""
    cancelling: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class Dispatcher:
    """The jobs of one server."""

    def __init__(self, executor: Executor, owner: str) -> None:
        """Make a dispatcher that runs nothing before :meth:`start`; ``owner`` is the server's id in the database."""
        self._executor = executor
        self.owner = owner
        self._stores: list[Store] = []
        self._watched: dict[str, _Watched] = {}
        self._cancels = ThreadPoolExecutor(_CANCELS_AT_ONCE, thread_name_prefix="cancel")
        self._closing = threading.Event()
        self._adopted = float("-inf")
        self._stepped = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="dispatcher", daemon=True)

    def add(self, store: Store) -> None:
        """Take jobs of one more tenant."""
        self._stores.append(store)

    def start(self) -> None:
        """Start to run jobs."""
        self._thread.start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def wake(self) -> None:
        """Look for a new job now."""
        self._executor.wake()

    def position(self, job: Queued) -> int | None:
        """Return the position of a waiting job among those of all tenants, starting at 1; None if it does not wait."""
        if not job.is_waiting:
            return None
        return 1 + sum(each.count_waiting(before=job) for each in self._stores)

    def positions(self, jobs: Iterable[Queued]) -> dict[str, int]:
        """Return the position of each job that waits, by its id, with one query for each tenant."""
        waiting = [job for job in jobs if job.is_waiting]
        if not waiting:
            return {}
        before = [store.count_waiting_before(waiting) for store in self._stores]
        return {job.id: 1 + sum(counts) for job, *counts in zip(waiting, *before, strict=True)}

    def count_waiting(self) -> int:
        """How many jobs of all tenants wait."""
        return sum(store.count_waiting() for store in self._stores)

    def cancel(self, store: Store, job_id: str, seconds: float = 3.0) -> bool:
        """Stop a waiting or running job and wait up to ``seconds`` for its end; return False if it had ended before."""
        job = store.job(job_id)
        watched = self._watched.get(job_id)
        requested = store.request_cancel(job_id)
        if requested == "cancelled" and job is not None and job.spec is not None:
            _clean_up(_spec_of(job))
        if requested != "requested":
            return requested == "cancelled"
        self._executor.wake()
        deadline = time.monotonic() + seconds
        while (found := store.job(job_id)) is not None and found.state == "PENDING" and time.monotonic() < deadline:
            if watched is None:
                time.sleep(0.05)
            else:
                watched.ended.wait(0.05)
        # The job may have ended by itself just before.
        return found is None or found.state == "PENDING" or found.message == CANCELLED

    def close(self) -> None:
        """Start no more jobs. Those of a local executor are killed, others run on."""
        self._closing.set()
        self._executor.wake()
        self._executor.close()
        self._cancels.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                self._step()
            except SandboxError as error:
                logger.error("the queue waits: %s", error)  # noqa: TRY400 - the message says all
                self._closing.wait(_STEP_SECONDS)
            except Exception:
                logger.exception("the queue")
                self._closing.wait(_STEP_SECONDS)
            self._executor.wait(_STEP_SECONDS)

    def _beat(self) -> None:
        """Say that this server lives: in a thread of its own, as a step may take longer than others wait."""
        while not self._closing.wait(_BEAT_SECONDS):
            if time.monotonic() - self._stepped > _STUCK_SECONDS:
                continue
            for store in self._stores:
                try:
                    store.beat(self.owner)
                except SandboxError as error:
                    logger.warning("no sign of life: %s", error)
                except Exception:
                    logger.exception("no sign of life")

    def _step(self) -> None:
        self._stepped = time.monotonic()
        for watched in list(self._watched.values()):
            with _no_job_stops_others(watched.spec.ref):
                self._advance(watched)
        self._cancel_requested()
        while not self._closing.is_set() and self._start_next():
            pass
        if time.monotonic() - self._adopted > _BEAT_SECONDS:
            self._adopted = time.monotonic()
            self._adopt()

    # --- jobs that begin ---

    def _start_next(self) -> bool:
        """Claim and start the oldest waiting job; False if there is none, or no room for it."""
        waiting = [(job, store) for store in self._stores if (job := store.oldest_waiting()) is not None]
        if not waiting:
            return False
        job, store = min(waiting, key=lambda found: (found[0].created, found[0].id))
        if not self._executor.has_room(Resources.model_validate(job.resources)):
            return False
        claimed = store.claim(job.id, self.owner)
        if claimed is None:
            return False
        self._watch(store, _spec_of(claimed))
        return True

    def _watch(self, store: Store, spec: JobSpec) -> None:
        watched = self._watched[spec.job_id] = _Watched(store, spec)
        try:
            self._executor.start(spec)
        except Exception as error:
            logger.exception("job %s", spec.job_id)
            reason = str(error) or type(error).__name__
            self._end(watched, Outcome(msg=f"the sandbox could not run this job: {reason}", fault=True))

    def _adopt(self) -> None:
        """Take over the jobs of servers that no longer live, and leave those that others have taken over."""
        for store in self._stores:
            own = {job.id: job for job in store.running(self.owner)}
            for watched in list(self._watched.values()):
                # After a long sleep, others may have taken over what was ours.
                job = own.get(watched.spec.job_id)
                if watched.store is store and (job is None or job.attempt != watched.spec.attempt):
                    self._disown(watched)
            for job in store.adopt(self.owner):
                logger.info("job %s: taken over from a server that has ended", job.id)
                own[job.id] = job
            for job in own.values():
                # One that is ours and new here was taken over, or claimed by a call whose answer was lost.
                if job.id not in self._watched and job.spec is not None:
                    self._take_over(store, job)

    def _take_over(self, store: Store, job: Job) -> None:
        spec = _spec_of(job)
        if job.node is None:
            # It was never begun.
            self._restart(store, spec)
        else:
            self._watched[job.id] = _Watched(store, spec, begun=True)
            self._executor.find(spec, job.node)

    # --- jobs that run ---

    def _advance(self, watched: _Watched) -> None:
        """Store what has changed of an attempt."""
        status = self._executor.poll(watched.spec.ref)
        if status.state == "placed":
            self._begin(watched, status)
        if status.version != watched.version and status.reports and status.state in {"running", "ended"}:
            if not self._report(watched, status):
                self._disown(watched)
                return
            watched.version = status.version
        if status.state == "ended":
            self._end(watched, status.outcome or Outcome(msg="it ended without a result", fault=True))
        elif status.state == "lost":
            self._start_again(watched, status.reason)

    def _begin(self, watched: _Watched, status: JobStatus) -> None:
        if not watched.begun:
            spec = watched.spec
            if not watched.store.confirm(spec.job_id, spec.attempt, self.owner, status.node):
                job = watched.store.job(spec.job_id)
                if job is None or job.owner != self.owner or job.state == "DONE":
                    self._disown(watched)
                return  # or it is about to be cancelled
            watched.begun = True
        self._executor.begin(watched.spec.ref)

    def _report(self, watched: _Watched, status: JobStatus) -> bool:
        spec = watched.spec
        return watched.store.report(spec.job_id, spec.attempt, self.owner, **status.reports)

    def _end(self, watched: _Watched, outcome: Outcome) -> None:
        spec, store = watched.spec, watched.store
        if outcome.msg is None:
            took = store.succeed(spec.job_id, spec.attempt, self.owner, {"result": outcome.result})
        else:
            took = store.fail(
                spec.job_id,
                spec.attempt,
                self.owner,
                outcome.msg,
                error=outcome.error,
                strace=outcome.strace,
                fault=outcome.fault,
            )
        # The answer to an earlier call may have been lost.
        if took or (job := store.job(spec.job_id)) is None or job.state == "DONE":
            _clean_up(spec)
        self._executor.forget(spec.ref)
        self._drop(watched)

    def _start_again(self, watched: _Watched, reason: str) -> None:
        """Start the next attempt of a lost job, or end the job if it has none left."""
        spec = watched.spec
        attempt = watched.store.try_again(spec.job_id, spec.attempt, self.owner, reason)
        if attempt is None:
            job = watched.store.job(spec.job_id)
            is_cancelled = job is not None and job.cancel_requested
            lost = f"{reason}; the job was started {spec.attempt} times, as often as its 'retries' allow"
            self._end(watched, Outcome(msg=CANCELLED if is_cancelled else lost, fault=not is_cancelled))
            return
        logger.warning("job %s: attempt %s was lost: %s; it is started again", spec.job_id, spec.attempt, reason)
        self._executor.forget(spec.ref)
        self._drop(watched)
        self._restart(watched.store, spec.next_attempt(attempt))

    def _restart(self, store: Store, spec: JobSpec) -> None:
        """Start a job that is this server's; without room for it now, it waits for any server."""
        if self._executor.has_room(spec.resources):
            self._watch(store, spec)
        else:
            store.give_back(spec.job_id, spec.attempt, self.owner)

    def _disown(self, watched: _Watched) -> None:
        """Leave a job that is another server's by now; what runs of an attempt that no longer counts is stopped."""
        job = watched.store.job(watched.spec.job_id)
        if job is None or job.state == "DONE" or job.attempt != watched.spec.attempt or job.node is None:
            self._cancels.submit(self._stop, watched.spec.ref)
        self._drop(watched)

    def _stop(self, ref: JobRef) -> None:
        with _no_job_stops_others(ref):
            self._executor.cancel(ref, CANCELLED)
            self._executor.forget(ref)

    def _drop(self, watched: _Watched) -> None:
        if self._watched.get(watched.spec.job_id) is watched:
            del self._watched[watched.spec.job_id]
        watched.ended.set()

    # --- jobs that are cancelled ---

    def _cancel_requested(self) -> None:
        for store in self._stores:
            for job_id in store.cancels_requested(self.owner):
                watched = self._watched.get(job_id)
                if watched is not None and not watched.cancelling:
                    watched.cancelling = True
                    self._cancels.submit(self._cancel, watched)

    def _cancel(self, watched: _Watched) -> None:
        try:
            self._executor.cancel(watched.spec.ref, CANCELLED)
        except SandboxError as error:
            logger.warning("job %s cannot be cancelled yet: %s", watched.spec.job_id, error)
            self._closing.wait(_RETRY_SECONDS)
            watched.cancelling = False
        except Exception:
            logger.exception("job %s", watched.spec.job_id)
        self._executor.wake()


@contextmanager
def _no_job_stops_others(ref: JobRef) -> Iterator[None]:
    try:
        yield
    except SandboxError as error:
        logger.error("job %s: %s", ref.job_id, error)  # noqa: TRY400 - the message says all
    except Exception:
        logger.exception("job %s", ref.job_id)


def _spec_of(job: Job) -> JobSpec:
    """Return the description of a job's present attempt."""
    return JobSpec.model_validate(job.spec).next_attempt(job.attempt)


def _clean_up(spec: JobSpec) -> None:
    delete_secrets(spec.folder)
    if spec.code.unpacked is not None:
        shutil.rmtree(spec.code.unpacked, ignore_errors=True)
