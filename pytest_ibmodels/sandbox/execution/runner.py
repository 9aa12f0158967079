"""Runs jobs on this machine: a thread watches the process of each, with its reports, its limits and its end."""

import json
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.code_cache import CodeCache
from pytest_ibmodels.sandbox.execution.environment_worker import EnvironmentTask, make_environment
from pytest_ibmodels.sandbox.execution.environments import Environment, find_environment
from pytest_ibmodels.sandbox.execution.executor import JobStatus, State
from pytest_ibmodels.sandbox.execution.job_monitor import JobMonitor
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Outcome
from pytest_ibmodels.sandbox.execution.joblog import note
from pytest_ibmodels.sandbox.execution.libraries import imports_libraries
from pytest_ibmodels.sandbox.execution.processes import ChildProcess, how_it_ended
from pytest_ibmodels.sandbox.execution.secrets import Secrets
from pytest_ibmodels.sandbox.execution.training_worker import TrainingJob, run_training
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_secrets import read_secrets

logger = logging.getLogger(__name__)

STOP_SECONDS = 30.0
"""Limit of the wait for the end of a job that was killed."""


@dataclass(eq=False)
class _Running:
    """A job of this machine; ``changed`` of the runner guards all that changes."""

    spec: JobSpec
    folder: Path
    """Where its scratch folder is."""
    log: Path
    state: State = "placed"
    version: int = 0
    reports: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    process: ChildProcess | None = None
    stop_reason: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Runner:
    """The jobs of this machine."""

    def __init__(
        self, settings: Settings, code: CodeCache, on_change: Callable[[], None], lease: Path | None = None
    ) -> None:
        """Make a runner without jobs.

        Args:
            settings: Those of the machine; limits are in the jobs.
            code: Where the machine unpacks code.
            on_change: Called from any thread when the status of a job has changed.
            lease: File of the machine's lease on its jobs; None if there is none.
        """
        self._settings = settings
        self._code = code
        self._on_change = on_change
        self._lease = lease
        self._lock = threading.Lock()
        self._jobs: dict[JobRef, _Running] = {}
        self._closing = False

    def accept(self, spec: JobSpec, *, folder: Path | None = None, log: Path | None = None) -> None:
        """Take a job, which waits for :meth:`begin`; do nothing if it is here already.

        Args:
            spec: The job.
            folder: Where its working directory is made; by default the job's own folder.
            log: File for its output; by default that of the spec.
        """
        with self._lock:
            self._jobs.setdefault(spec.ref, _Running(spec, folder or spec.folder, log or spec.log))
        self._on_change()

    def begin(self, ref: JobRef, variables: dict[str, str]) -> None:
        """Run a job that was accepted, with these environment variables; do nothing if it runs or has ended."""
        with self._lock:
            running = self._jobs.get(ref)
            if running is None or running.state != "placed":
                return
            running.state = "running"
            running.version += 1
        threading.Thread(target=self._work, args=(running, variables), name=f"job-{ref.job_id}", daemon=True).start()
        self._on_change()

    def status(self, ref: JobRef) -> JobStatus | None:
        """Return what is known of a job; None if it is not here."""
        with self._lock:
            running = self._jobs.get(ref)
            if running is None:
                return None
            return JobStatus(
                running.state, reports=dict(running.reports), version=running.version, outcome=running.outcome
            )

    def log_of(self, ref: JobRef) -> Path | None:
        """Return the file of a job's output; None if the job is not here."""
        running = self._jobs.get(ref)
        return None if running is None else running.log

    def refs(self) -> list[JobRef]:
        """Return the jobs that are here, ended ones too."""
        with self._lock:
            return list(self._jobs)

    def count_active(self) -> int:
        """Return how many jobs have not ended."""
        with self._lock:
            return sum(running.state != "ended" for running in self._jobs.values())

    def stop(self, ref: JobRef, reason: str, seconds: float = STOP_SECONDS) -> bool:
        """Kill a job, which ends with the message ``reason``, and wait for its end; return False if it goes on."""
        with self._lock:
            running = self._jobs.get(ref)
            if running is None or running.state == "ended":
                return True
            running.stop_reason = running.stop_reason or reason
            is_placed = running.state == "placed"
            process = running.process
        if is_placed:
            self._end(running, Outcome(msg=running.stop_reason))
            return True
        if process is not None:
            process.kill()
        return running.ended.wait(seconds)

    def forget(self, ref: JobRef) -> None:
        """Drop a job that has ended."""
        with self._lock:
            running = self._jobs.get(ref)
            if running is not None and running.state == "ended":
                del self._jobs[ref]

    def close(self) -> None:
        """Kill all jobs; they end without an outcome."""
        with self._lock:
            self._closing = True
            processes = [running.process for running in self._jobs.values() if running.process is not None]
        for process in processes:
            process.kill()

    def _work(self, running: _Running, variables: dict[str, str]) -> None:
        try:
            outcome = self._run(running, variables)
        except Exception as error:
            logger.exception("job %s", running.spec.job_id)
            outcome = _could_not_run(str(error) or type(error).__name__)
        if not self._closing:
            self._end(running, outcome)
        running.ended.set()

    def _end(self, running: _Running, outcome: Outcome) -> None:
        with self._lock:
            if running.state == "ended":
                return
            running.state, running.outcome, running.process = "ended", outcome, None
            running.version += 1
        running.ended.set()
        self._on_change()

    def _run(self, running: _Running, variables: dict[str, str]) -> Outcome:
        spec = running.spec
        scratch = running.folder / f"scratch-{spec.attempt}"
        # Not that of the server, which may end before the job.
        arriving = spec.arriving
        try:
            secrets = read_secrets(spec.folder) if spec.secrets else {}
            packages = self._code.open(spec.code)
            environment = find_environment(packages, self._settings, spec.environments)
            ended, exit_code = self._prepare(running, environment, scratch)
            if ended is not None and "result" in ended:
                python = None if environment is None else environment.python
                arriving.mkdir(exist_ok=True)
                drive = spec.drive.open(arriving)
                job = _training_job(running, packages, drive, secrets, scratch, variables, self._lease)
                with_libraries = self._settings.preload and imports_libraries(packages)
                process = ChildProcess(run_training, job, with_libraries=with_libraries, python=python)
                ended, exit_code = self._watch(running, process)
        finally:
            for folder in (scratch, arriving):
                shutil.rmtree(folder, ignore_errors=True)
        return _outcome(running, ended, exit_code)

    def _prepare(
        self, running: _Running, environment: Environment | None, scratch: Path
    ) -> tuple[dict[str, Any] | None, int | None]:
        """Make the environment of the job's requirements, unless it is there; return as :meth:`_watch`."""
        if environment is None:
            return {"result": None}, None
        with environment.hold(lambda: self._is_stopped(running)):
            if self._is_stopped(running):
                return None, None
            if environment.is_ready:
                environment.mark_ready()
                return {"result": None}, None
            task = EnvironmentTask(environment, running.log, scratch)
            return self._watch(running, ChildProcess(make_environment, task))

    def _is_stopped(self, running: _Running) -> bool:
        return self._closing or running.stop_reason is not None

    def _watch(self, running: _Running, process: ChildProcess) -> tuple[dict[str, Any] | None, int | None]:
        """Monitor a process of the job; return its last message, None if it sent none, and its exit code."""
        with self._lock:
            running.process = process
            stop_now = self._is_stopped(running)
        monitor = JobMonitor(
            process,
            running.spec.limits,
            running.log,
            report=lambda reports: self._report(running, reports),
            stop=lambda reason: self._stop(running, reason),
            is_stopped=lambda: self._is_stopped(running),
        )
        try:
            message = None if stop_now else monitor.run()
        finally:
            process.close()
            monitor.report_all()
        return message, process.final_exit_code

    def _stop(self, running: _Running, reason: str) -> None:
        with self._lock:
            running.stop_reason = running.stop_reason or reason

    def _report(self, running: _Running, reports: dict[str, Any]) -> None:
        with self._lock:
            running.reports.update(reports)
            running.version += 1
        self._on_change()


def _training_job(
    running: _Running,
    packages: tuple[Path, ...],
    drive: Drive,
    secrets: dict[str, str],
    scratch: Path,
    variables: dict[str, str],
    lease: Path | None,
) -> TrainingJob:
    spec = running.spec
    arguments = {**spec.arguments, **{name: json.loads(text) for name, text in secrets.items()}}
    database = arguments.get("database")
    return TrainingJob(
        job_id=spec.job_id,
        function=spec.function,
        packages=packages,
        arguments=arguments,
        drive=drive,
        log=running.log,
        scratch=scratch,
        max_unzipped=spec.limits.unzipped,
        models=spec.models,
        threads=spec.limits.threads,
        secrets=Secrets.from_url(database) if isinstance(database, str) else Secrets(),
        variables=variables,
        lease=lease,
    )


def _outcome(running: _Running, message: dict[str, Any] | None, exit_code: int | None) -> Outcome:
    if running.stop_reason is not None:
        note(running.log, running.stop_reason)
        return Outcome(msg=running.stop_reason)
    if message is None:
        msg = f"the training process {how_it_ended(exit_code)} before it had finished"
        note(running.log, msg)
        return Outcome(msg=msg)
    if "fault" in message:
        return _could_not_run(message["fault"])
    if "failure" in message:
        failure = message["failure"]
        return Outcome(msg=failure["msg"], error=failure["error"], strace=failure["strace"])
    return Outcome(result=message["result"])


def _could_not_run(reason: str) -> Outcome:
    return Outcome(msg=f"the sandbox could not run this job: {reason}", fault=True)
