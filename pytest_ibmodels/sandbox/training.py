"""The queue of training jobs, and the watch over each while it runs."""

import logging
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ibmodels.instabase.wire import TrainRequest
from pytest_ibmodels.sandbox.drive import Drive
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.jobhost import TrainingJob, run_training
from pytest_ibmodels.sandbox.joblog import LogClock, note
from pytest_ibmodels.sandbox.marketplace import Marketplace
from pytest_ibmodels.sandbox.paths import DrivePath
from pytest_ibmodels.sandbox.processes import ChildProcess, how_it_ended
from pytest_ibmodels.sandbox.settings import GIB, MIB, Settings
from pytest_ibmodels.sandbox.store import Store

logger = logging.getLogger(__name__)

CANCELLED = "cancelled"
MAX_LOG_BYTES = 256 * MIB
_POLL_SECONDS = 0.5
_REPORT_SECONDS = 0.2
_GRACE_SECONDS = 2.0


@dataclass
class _Running:
    job: TrainingJob
    process: ChildProcess | None = None
    stopped: str | None = None
    """Why it was stopped from outside."""
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Code:
    """``packages`` as a training job has them; ``published`` names the package that they were unpacked from."""

    packages: tuple[Path, ...]
    unpacked: Path | None = None
    published: str = ""


class TrainingQueue:
    """Runs at most ``max_jobs`` training processes, in the order in which they were asked for."""

    def __init__(self, settings: Settings, drive: Drive, store: Store, marketplace: Marketplace) -> None:
        self._settings = settings
        self._drive = drive
        self._store = store
        self._marketplace = marketplace
        self._changed = threading.Condition()
        self._waiting: deque[_Running] = deque()
        self._running: dict[str, _Running] = {}
        self._workers: list[threading.Thread] = []
        self._named: dict[str, list[str]] = {}
        self._closing = False

    def submit(self, request: TrainRequest) -> str:
        """Queue a training and return its job id; without script packages it runs the newest published package.

        Raises:
            SandboxError: if a script package is missing, or the function belongs to none of them; if none is given,
                and no published package has the function's module.
        """
        code = self._code(request)
        job_id = self._store.new_job("train")
        folder = self._settings.jobs_root / job_id
        folder.mkdir(parents=True)
        job = TrainingJob(
            job_id=job_id,
            function=request.function,
            packages=code.packages,
            arguments=dict(request.arguments),
            drive=self._drive,
            folder=folder,
            max_unzipped=self._settings.max_unzipped,
            unpacked=code.unpacked,
        )
        if code.published:
            note(job.log, f"this job runs the published package {code.published}", "INFO")
        with self._changed:
            self._named.setdefault(str(request.arguments.get("model_name", "")), []).append(job_id)
            self._waiting.append(_Running(job))
            if len(self._workers) < self._settings.max_jobs:
                worker = threading.Thread(target=self._work, name=f"training-{len(self._workers)}", daemon=True)
                self._workers.append(worker)
                worker.start()
            self._changed.notify()
        return job_id

    def jobs_of(self, model_name: str) -> list[str]:
        """The ids of the jobs that were asked to make a model of this name, oldest first.

        No job survives a restart of the server, so nothing of this has to.
        """
        with self._changed:
            return list(self._named.get(model_name, ()))

    def queue_position(self, job_id: str) -> int | None:
        """How many jobs are before this one plus one, or None if it does not wait."""
        with self._changed:
            for position, running in enumerate(self._waiting, start=1):
                if running.job.job_id == job_id:
                    return position
        return None

    def cancel(self, job_id: str, *, seconds: float = 3.0) -> bool:
        """Stop a waiting or running job, and wait up to ``seconds`` for its end; False if it had ended already."""
        with self._changed:
            running = self._running.get(job_id)
            if running is None:
                running = next((item for item in self._waiting if item.job.job_id == job_id), None)
                if running is None:
                    return False
                self._waiting.remove(running)
                self._store.fail(job_id, CANCELLED)
                _clear(running.job)
                return True
            running.stopped = running.stopped or CANCELLED
            process = running.process
        if process is not None:
            process.kill()
        running.ended.wait(seconds)
        job = self._store.job(job_id)
        # It may have ended in another way just before.
        return job is None or job.state == "PENDING" or job.message == CANCELLED

    def close(self) -> None:
        """Kill all jobs; what the store says of them is left to the next start."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            running = list(self._running.values())
            self._changed.notify_all()
        for item in running:
            if item.process is not None:
                item.process.kill()

    def log_of(self, job_id: str) -> Path:
        return self._settings.jobs_root / job_id / "log.txt"

    def _code(self, request: TrainRequest) -> _Code:
        module, _dot, rest = request.function.partition(".")
        if not rest or not all(part.isidentifier() for part in request.function.split(".")):
            msg = f"run_train: function {request.function!r} is no dotted path such as 'ibformers.endpoints.train'"
            raise SandboxError(msg)
        if not request.script_packages:
            package, unpacked = self._marketplace.unpack_newest(module)
            return _Code((unpacked / module,), unpacked, f"{package.name} {package.version}")
        packages = tuple(self._package(text) for text in request.script_packages)
        names = [package.name for package in packages]
        if module not in names:
            msg = (
                f"run_train: function {request.function!r} belongs to none of the script packages "
                f"({', '.join(names)}); its first part must be the name of one"
            )
            raise SandboxError(msg)
        return _Code(packages)

    def _package(self, text: str) -> Path:
        try:
            folder = self._drive.local_folder(DrivePath.parse(text))
        except SandboxError as error:
            msg = f"run_train: script package: {error}"
            raise SandboxError(msg) from None
        if not folder.name.isidentifier():
            msg = f"run_train: script package '{text}': its name is no name of a Python module"
            raise SandboxError(msg)
        return folder

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                running = self._waiting.popleft()
                self._running[running.job.job_id] = running
            try:
                self._run(running)
            except Exception as error:
                logger.exception("job %s", running.job.job_id)
                self._store.fail(running.job.job_id, f"the sandbox could not run this job: {error}")
            finally:
                with self._changed:
                    del self._running[running.job.job_id]
                running.ended.set()

    def _run(self, running: _Running) -> None:
        job = running.job
        self._store.start(job.job_id)
        process = ChildProcess(run_training, job)
        with self._changed:
            running.process = process
            stop_now = self._closing or running.stopped is not None
        watch = _Watch(running, process, self._settings, self._store)
        try:
            outcome = None if stop_now else watch.until_end()
        finally:
            process.close()
            watch.finish_reports()
            _clear(job)
        if not self._closing:
            self._record(running, outcome, process.final_exit_code)

    def _record(self, running: _Running, outcome: dict[str, Any] | None, exit_code: int | None) -> None:
        job = running.job
        if running.stopped is not None:
            note(job.log, running.stopped)
            self._store.fail(job.job_id, running.stopped)
        elif outcome is None:
            msg = f"the training process {how_it_ended(exit_code)} before it had finished"
            note(job.log, msg)
            self._store.fail(job.job_id, msg)
        elif "failure" in outcome:
            failure = outcome["failure"]
            self._store.fail(job.job_id, failure["msg"], error=failure["error"], strace=failure["strace"])
        else:
            self._store.succeed(job.job_id, {"result": outcome["result"]})


def _clear(job: TrainingJob) -> None:
    for folder in (job.scratch, job.unpacked):
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class _Watch:
    """Stores what one running job reports, and holds it to its limits."""

    def __init__(self, running: _Running, process: ChildProcess, settings: Settings, store: Store) -> None:
        self._running = running
        self._process = process
        self._settings = settings
        self._store = store
        self._clock = LogClock(running.job.log)
        self._started = time.monotonic()
        self._measured = self._reported = 0.0
        self._peak = 0
        self._pending: dict[str, Any] = {}

    def until_end(self) -> dict[str, Any] | None:
        """Watch until the process has ended; its outcome, or None if it told none."""
        while True:
            self._process.wait(_REPORT_SECONDS if self._pending else _POLL_SECONDS)
            try:
                outcome = self._take(self._process.messages())
            except EOFError:
                outcome = None
            if outcome is not None:
                self._process.wait_for_exit(_GRACE_SECONDS)
                return outcome
            if self._process.exit_code() is not None or self._running.stopped is not None:
                # It may have told its outcome between the two looks.
                return self._last_words()
            self._report()
            self._hold_to_limits()

    def finish_reports(self) -> None:
        self._reported = 0.0
        self._clock.tick()
        self._pending["peak_memory"] = self._peak
        self._report()

    def _last_words(self) -> dict[str, Any] | None:
        try:
            return self._take(self._process.messages())
        except EOFError:
            return None

    def _take(self, messages: list[dict[str, Any]]) -> dict[str, Any] | None:
        for message in messages:
            if "metadata" in message:
                self._pending["task_data"] = message["metadata"]
            elif "message" in message:
                self._pending["message"] = message["message"]
            else:
                self._peak = max(self._peak, message["peak_memory"])
                return message
        return None

    def _report(self) -> None:
        now = time.monotonic()
        if self._pending and now - self._reported >= _REPORT_SECONDS:
            self._store.report(self._running.job.job_id, **self._pending)
            self._pending = {}
            self._reported = now

    def _hold_to_limits(self) -> None:
        now = time.monotonic()
        if now - self._measured < _POLL_SECONDS:
            return
        self._measured = now
        used = self._process.resident_bytes()
        if used > self._peak:
            self._peak = self._pending["peak_memory"] = used
        reason = self._over_limit(used, now - self._started, self._clock.tick())
        if reason is not None:
            self._running.stopped = self._running.stopped or reason
            self._process.kill()

    def _over_limit(self, used: int, seconds: float, log_bytes: int) -> str | None:
        limits = self._settings
        if used > limits.job_memory:
            return (
                f"the training process used {used / GIB:.2f} GiB of memory, more than its limit of "
                f"{limits.job_memory / GIB:g} GiB, and was killed (the sandbox's option --job-memory sets the limit)"
            )
        if seconds > limits.job_time:
            return (
                f"the training process ran for {seconds:.0f} s, longer than its limit of {limits.job_time:g} s, "
                "and was killed (the sandbox's option --job-time sets the limit)"
            )
        if log_bytes > MAX_LOG_BYTES:
            return f"the training process wrote more than {MAX_LOG_BYTES / MIB:g} MiB of output, and was killed"
        return None
