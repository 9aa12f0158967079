"""Queue of the server's training jobs, and a monitor of each running job."""

import logging
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from pytest_ibmodels.sandbox.execution.environment_worker import EnvironmentTask, make_environment
from pytest_ibmodels.sandbox.execution.environments import Environment, find_environment
from pytest_ibmodels.sandbox.execution.joblog import LogTimes, note
from pytest_ibmodels.sandbox.execution.libraries import imports_libraries
from pytest_ibmodels.sandbox.execution.processes import ChildProcess, how_it_ended
from pytest_ibmodels.sandbox.execution.training_worker import TrainingJob, run_training
from pytest_ibmodels.sandbox.settings import GIB, MIB, Settings
from pytest_ibmodels.sandbox.storage.job_store import Store

logger = logging.getLogger(__name__)

CANCELLED = "cancelled"
MAX_LOG_BYTES = 256 * MIB
_POLL_SECONDS = 0.5
_REPORT_SECONDS = 0.2
_GRACE_SECONDS = 2.0


@dataclass(eq=False)
class QueuedJob:
    """A job that waits or runs; ``store`` is the tenant's store, which keeps its state."""

    job: TrainingJob
    settings: Settings
    store: Store
    process: ChildProcess | None = None
    stop_reason: str | None = None
    """Message of the job if the server stopped it."""
    ended: threading.Event = field(default_factory=threading.Event)


class JobQueue:
    """Queue of the jobs of all tenants, in order of submission; at most ``max_jobs`` run at once."""

    def __init__(self, max_jobs: int) -> None:
        self._max_jobs = max_jobs
        self._changed = threading.Condition()
        self._waiting: deque[QueuedJob] = deque()
        self._running: dict[str, QueuedJob] = {}
        self._workers: list[threading.Thread] = []
        self._closing = False

    def add(self, queued: QueuedJob) -> None:
        """Append a job to the queue."""
        with self._changed:
            self._waiting.append(queued)
            if len(self._workers) < self._max_jobs:
                worker = threading.Thread(target=self._work, name=f"training-{len(self._workers)}", daemon=True)
                self._workers.append(worker)
                worker.start()
            self._changed.notify()

    def position(self, job_id: str) -> int | None:
        """Position of a waiting job, starting at 1, or None if the job does not wait."""
        with self._changed:
            for position, queued in enumerate(self._waiting, start=1):
                if queued.job.job_id == job_id:
                    return position
        return None

    def counts(self) -> tuple[int, int]:
        """Numbers of waiting and of running jobs, those of all tenants."""
        with self._changed:
            return len(self._waiting), len(self._running)

    def cancel(self, job_id: str, *, seconds: float = 3.0) -> bool:
        """Stop a waiting or running job and wait up to ``seconds`` for its end; return False if it had ended before."""
        with self._changed:
            queued = self._running.get(job_id)
            if queued is None:
                queued = next((item for item in self._waiting if item.job.job_id == job_id), None)
                if queued is None:
                    return False
                self._waiting.remove(queued)
                queued.store.fail(job_id, CANCELLED)
                _delete_folders(queued.job)
                return True
            queued.stop_reason = queued.stop_reason or CANCELLED
            process = queued.process
        if process is not None:
            process.kill()
        queued.ended.wait(seconds)
        job = queued.store.job(job_id)
        # The job may have ended by itself just before.
        return job is None or job.state == "PENDING" or job.message == CANCELLED

    def close(self) -> None:
        """Kill all jobs; the next start marks them as failed."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            running = list(self._running.values())
            self._changed.notify_all()
        for item in running:
            if item.process is not None:
                item.process.kill()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                queued = self._waiting.popleft()
                self._running[queued.job.job_id] = queued
            try:
                self._run(queued)
            except Exception as error:
                logger.exception("job %s", queued.job.job_id)
                queued.store.fail(queued.job.job_id, _could_not_run(str(error) or type(error).__name__), fault=True)
            finally:
                with self._changed:
                    del self._running[queued.job.job_id]
                queued.ended.set()

    def _run(self, queued: QueuedJob) -> None:
        job = queued.job
        queued.store.start(job.job_id)
        try:
            environment = find_environment(job.packages, queued.settings)
            outcome, exit_code = self._prepare(queued, environment)
            if outcome is not None and "result" in outcome:
                with_libraries = queued.settings.preload and imports_libraries(job.packages)
                python = None if environment is None else environment.python
                process = ChildProcess(run_training, job, with_libraries=with_libraries, python=python)
                outcome, exit_code = self._watch(queued, process)
        finally:
            _delete_folders(job)
        if not self._closing:
            self._record(queued, outcome, exit_code)

    def _prepare(self, queued: QueuedJob, environment: Environment | None) -> tuple[dict[str, Any] | None, int | None]:
        """Make the environment of the job's requirements, unless it is there; return as :meth:`_watch`."""
        if environment is None:
            return {"result": None}, None
        with environment.hold(lambda: self._is_stopped(queued)):
            if self._is_stopped(queued):
                return None, None
            if environment.is_ready:
                environment.mark_ready()
                return {"result": None}, None
            task = EnvironmentTask(environment, queued.job.log, queued.job.scratch)
            return self._watch(queued, ChildProcess(make_environment, task))

    def _is_stopped(self, queued: QueuedJob) -> bool:
        return self._closing or queued.stop_reason is not None

    def _watch(self, queued: QueuedJob, process: ChildProcess) -> tuple[dict[str, Any] | None, int | None]:
        """Monitor a process of the job; return its outcome, None if it sent none, and its exit code."""
        with self._changed:
            queued.process = process
            stop_now = self._is_stopped(queued)
        monitor = _JobMonitor(queued, process)
        try:
            outcome = None if stop_now else monitor.run()
        finally:
            process.close()
            monitor.report_all()
        return outcome, process.final_exit_code

    def _record(self, queued: QueuedJob, outcome: dict[str, Any] | None, exit_code: int | None) -> None:
        job = queued.job
        if queued.stop_reason is not None:
            note(job.log, queued.stop_reason)
            queued.store.fail(job.job_id, queued.stop_reason)
        elif outcome is None:
            msg = f"the training process {how_it_ended(exit_code)} before it had finished"
            note(job.log, msg)
            queued.store.fail(job.job_id, msg)
        elif "fault" in outcome:
            queued.store.fail(job.job_id, _could_not_run(outcome["fault"]), fault=True)
        elif "failure" in outcome:
            failure = outcome["failure"]
            queued.store.fail(job.job_id, failure["msg"], error=failure["error"], strace=failure["strace"])
        else:
            queued.store.succeed(job.job_id, {"result": outcome["result"]})


def _could_not_run(reason: str) -> str:
    return f"the sandbox could not run this job: {reason}"


def _delete_folders(job: TrainingJob) -> None:
    for folder in (job.scratch, job.unpacked):
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class _JobMonitor:
    """Monitor of a running job: store its reports and enforce its limits."""

    def __init__(self, queued: QueuedJob, process: ChildProcess) -> None:
        self._queued = queued
        self._process = process
        self._log_times = LogTimes(queued.job.log)
        self._started = time.monotonic()
        self._measured = self._reported = 0.0
        self._peak = 0
        self._pending: dict[str, Any] = {}

    def run(self) -> dict[str, Any] | None:
        """Monitor the process until it has ended; return its outcome, or None if it sent none."""
        while True:
            self._process.wait(_REPORT_SECONDS if self._pending else _POLL_SECONDS)
            outcome = self._poll()
            if outcome is not None:
                self._process.wait_for_exit(_GRACE_SECONDS)
                return outcome
            if self._process.has_ended() or self._queued.stop_reason is not None:
                # The outcome may have arrived since the last poll.
                return self._poll()
            self._report_pending()
            self._enforce_limits()

    def report_all(self) -> None:
        self._reported = 0.0
        self._log_times.record()
        self._pending["peak_memory"] = self._peak
        self._report_pending()

    def _poll(self) -> dict[str, Any] | None:
        """Collect the reports that have arrived; return the outcome if it is among them."""
        try:
            messages = self._process.messages()
        except EOFError:
            return None
        for message in messages:
            if "metadata" in message:
                self._pending["task_data"] = message["metadata"]
            elif "message" in message:
                self._pending["message"] = message["message"]
            else:
                self._peak = max(self._peak, message["peak_memory"])
                return message
        return None

    def _report_pending(self) -> None:
        now = time.monotonic()
        if self._pending and now - self._reported >= _REPORT_SECONDS:
            self._queued.store.report(self._queued.job.job_id, **self._pending)
            self._pending = {}
            self._reported = now

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        if now - self._measured < _POLL_SECONDS:
            return
        self._measured = now
        used = self._process.memory_bytes(self._queued.settings.job_memory)
        if used > self._peak:
            self._peak = self._pending["peak_memory"] = used
        reason = self._limit_violation(used, now - self._started, self._log_times.record())
        if reason is not None:
            self._queued.stop_reason = self._queued.stop_reason or reason
            self._process.kill()

    def _limit_violation(self, used: int, seconds: float, log_bytes: int) -> str | None:
        limits = self._queued.settings
        if used > limits.job_memory:
            return (
                f"the training process used {used / GIB:.2f} GiB of memory, more than its limit of "
                f"{limits.job_memory / GIB:g} GiB, and was killed (pages that its processes share count once; the "
                "sandbox's option --job-memory sets the limit)"
            )
        if seconds > limits.job_time:
            return (
                f"the training process ran for {seconds:.0f} s, longer than its limit of {limits.job_time:g} s, "
                "and was killed (the sandbox's option --job-time sets the limit)"
            )
        if log_bytes > MAX_LOG_BYTES:
            return f"the training process wrote more than {MAX_LOG_BYTES / MIB:g} MiB of output, and was killed"
        return None
