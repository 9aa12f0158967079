"""Supervisor of a node: an actor that runs all jobs of its node, which outlive the server that started them."""

import logging
import os
import shutil
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.code_cache import CodeCache
from pytest_ibmodels.sandbox.execution.gpus import VARIABLE, GpuPool
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Resources
from pytest_ibmodels.sandbox.execution.joblog import marks_file
from pytest_ibmodels.sandbox.execution.lease import Lease, lease_clock
from pytest_ibmodels.sandbox.execution.processes import (
    kill_all,
    kill_orphans,
    prepare_sockets,
    stop_idle_environments,
    warm_up,
)
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile, Versions
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import (
    DROP_SECONDS,
    JobNews,
    NodeConfig,
    NodeNews,
    Watched,
)
from pytest_ibmodels.sandbox.execution.ray_cluster.node_models import NodeModels
from pytest_ibmodels.sandbox.execution.runner import Runner
from pytest_ibmodels.sandbox.execution.served import Answer, LocalServed, ServedSpec
from pytest_ibmodels.sandbox.settings import DAY, MIB, Settings

logger = logging.getLogger(__name__)

GPU_NAMES = "IBMODELS_NODE_GPUS"
"""Variable of a node with the names of its GPUs; Ray hides them from its actors."""
_CONFIRMS = 5
"""How often the cluster is asked within the time of a lease."""
_TICK_SECONDS = 0.5
_LOOK_SECONDS = 0.2
_CARE_SECONDS = 60.0
_MAX_LOG = MIB
_ALONE_SECONDS = 3600.0
"""How long a job runs on without a server that asks for it."""
_KEEP_SECONDS = DAY
"""How long the end of a job is kept for a server that asks for it."""


class Supervisor:
    """Supervisor of a node. All methods may be called from any thread."""

    def __init__(self, config: NodeConfig, confirm: Callable[[], bool], end: Callable[[], None] | None = None) -> None:
        """Start to hold the lease.

        Args:
            config: What the driver says of the node.
            confirm: Asks the cluster whether the node is alive; may block, and may raise anything.
            end: Ends this process; called once the lease has expired and all jobs are killed.
        """
        self._config = config
        self._confirm = confirm
        self._end = end or _exit
        self._started = time.monotonic()
        self._folder = user_folder() / f"{config.data_id}-{config.address}"
        self._folder.mkdir(exist_ok=True)
        self._jobs_folder = self._folder / "jobs"
        # Jobs of an earlier supervisor of this node have ended with it.
        shutil.rmtree(self._jobs_folder, ignore_errors=True)
        for old in self._folder.glob("lease-*"):
            old.unlink(missing_ok=True)
        self._jobs_folder.mkdir()
        self._lease = Lease(self._folder / f"lease-{uuid.uuid4().hex}", writable=True)
        self._deadline = lease_clock() + config.lease
        self._lease.extend(self._deadline)
        settings = Settings(Path(config.data), **config.settings)
        self._changed = threading.Condition()
        self._code = CodeCache(self._folder / "code")
        self._runner = Runner(settings, self._code, self._wake, self._lease.file)
        names = os.environ.get(GPU_NAMES, "").split(",") if os.environ.get(GPU_NAMES) else None
        self._gpus = GpuPool(names or [str(index) for index in range(config.gpus)])
        self._models = NodeModels(lambda: LocalServed(settings, self._code), self._folder / "models")
        self._model_idle = settings.model_idle
        self._lock = threading.Lock()
        self._specs: dict[JobRef, JobSpec] = {}
        self._accepted: dict[JobRef, float] = {}
        self._ended: dict[JobRef, float] = {}
        self._watched: dict[JobRef, float] = {}
        self._moves = 0
        """How many jobs were accepted and begun."""
        self._closing = False
        prepare_sockets()
        if settings.preload:
            warm_up(with_libraries=True)
        for target in (self._hold_lease, self._tick):
            threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True).start()

    def versions(self) -> dict[str, str]:
        """Return the versions of this node."""
        return Versions.here().model_dump()

    def accept(self, text: str) -> str:
        """Take a job, as JSON, which waits to be begun; return a sentence instead if it cannot run here."""
        spec = JobSpec.model_validate_json(text)
        if self._closing:
            msg = f"node {self._config.name} has lost the cluster"
            raise RuntimeError(msg)
        problem = self._data_problem(spec)
        if problem:
            return problem
        with self._lock:
            if spec.ref in self._specs:
                return ""
            self._free_gpus()
            self._gpus.take(spec.ref, spec.resources.gpus)
            folder = self._job_folder(spec.ref)
            folder.mkdir(parents=True)
            log = folder / "log.txt"
            # What the server has written before stays at the top.
            for source, target in ((spec.log, log), (marks_file(spec.log), marks_file(log))):
                if source.exists():
                    shutil.copyfile(source, target)
            self._specs[spec.ref] = spec
            self._runner.accept(spec, folder=folder, log=log)
            self._accepted[spec.ref] = time.monotonic()
        self._move()
        return ""

    def begin(self, job_id: str, attempt: int) -> None:
        """Run a job that was accepted."""
        ref = JobRef(job_id, attempt)
        if not self._closing:
            self._runner.begin(ref, {VARIABLE: ",".join(self._gpus.taken_by(ref))})
            self._move()

    def poll(self, watched: list[Watched], seconds: float) -> NodeNews:
        """Return what is new of the watched jobs; wait up to ``seconds`` until something is, or a job moves on."""
        deadline = time.monotonic() + seconds
        moves = self._moves
        self._watched.update((each.ref, deadline) for each in watched)
        while True:
            news = [found for each in watched if (found := self._news(each)) is not None]
            left = deadline - time.monotonic()
            if news or left <= 0 or self._moves != moves:
                age = time.monotonic() - self._started
                return NodeNews(age, self._taken(), news, self._models.names())
            with self._changed:
                self._changed.wait(min(left, _LOOK_SECONDS))

    def stop(self, job_id: str, attempt: int, reason: str) -> bool:
        """Kill a job and wait for its end; return False if something of it still runs."""
        return self._runner.stop(JobRef(job_id, attempt), reason)

    def forget(self, job_id: str, attempt: int) -> None:
        """Drop a job that has ended."""
        ref = JobRef(job_id, attempt)
        status = self._runner.status(ref)
        if status is None or status.state != "ended":
            return
        self._runner.forget(ref)
        with self._lock:
            self._specs.pop(ref, None)
            self._accepted.pop(ref, None)
            self._ended.pop(ref, None)
            self._watched.pop(ref, None)
            self._gpus.give_back(ref)
        shutil.rmtree(self._job_folder(ref), ignore_errors=True)

    def ask(self, name: str, spec: dict[str, Any], request: dict[str, Any]) -> Answer:
        """Answer a request for a model, after loading it, unless it is loaded."""
        return self._models.ask(name, ServedSpec.model_validate(spec), request)

    def unload(self, name: str) -> None:
        """Unload a model."""
        self._models.unload(name)

    def _news(self, watched: Watched) -> JobNews | None:
        status, log = self._runner.status(watched.ref), self._runner.log_of(watched.ref)
        if status is None or log is None:
            return JobNews(watched.ref, "missing")
        # The times come first: lines without a time would get one that is too late.
        marks = _read(marks_file(log), watched.marks)
        new = _read(log, watched.log)
        # The end is the last that is said of a job.
        is_complete = len(new) < _MAX_LOG and len(marks) < _MAX_LOG
        state = status.state
        if state not in {"placed", "running"}:
            # A job that has ended with the lease was killed for it: it is lost, and may be started again.
            state = "ended" if is_complete and not self._has_expired else "running"
        if status.version == watched.version and not new and not marks:
            return None
        version = status.version if is_complete and not self._has_expired else watched.version
        outcome = status.outcome if state == "ended" else None
        return JobNews(watched.ref, state, version, dict(status.reports), outcome, new, marks)

    def _taken(self) -> dict[JobRef, Resources]:
        with self._lock:
            return {ref: spec.resources for ref, spec in self._specs.items() if not self._has_ended(ref)}

    def _has_ended(self, ref: JobRef) -> bool:
        status = self._runner.status(ref)
        return status is not None and status.state == "ended"

    def _free_gpus(self) -> None:
        for ref in self._specs:
            if self._has_ended(ref):
                self._gpus.give_back(ref)

    def _job_folder(self, ref: JobRef) -> Path:
        return self._jobs_folder / f"{ref.job_id}-{ref.attempt}"

    def _data_problem(self, spec: JobSpec) -> str:
        """Sentence that says what is wrong with the data folder; empty if it can be read and written."""
        where = f"node {self._config.name}: the data folder {self._config.data}"
        try:
            found = ClusterFile.read(Path(self._config.data))
            if found is None or found.id != self._config.data_id:
                return f"{where} is not the one of the sandbox: mount the shared folder there"
            with tempfile.TemporaryFile(dir=spec.folder) as probe:
                probe.write(b"x" * 4096)
        except (OSError, StartError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            return f"{where} cannot be used: {reason}"
        return ""

    def _move(self) -> None:
        """End the polls that were asked before a job was accepted or begun; they may not watch it."""
        with self._lock:
            self._moves += 1
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # --- the lease ---

    @property
    def _has_expired(self) -> bool:
        return self._closing or lease_clock() > self._deadline

    def _hold_lease(self) -> None:
        while not self._closing:
            asked = lease_clock()
            try:
                is_alive = self._confirm()
            except Exception as error:  # noqa: BLE001 - the cluster may fail in any way
                logger.warning("the cluster does not answer: %s", error)
            else:
                if not is_alive:
                    logger.error("the cluster has given up this node")
                    self._give_up()
                    return
                if self._has_expired:
                    return  # processes have ended by themselves, whatever the cluster says now
                self._deadline = asked + self._config.lease
                self._lease.extend(self._deadline)
            time.sleep(self._config.lease / _CONFIRMS)

    def _tick(self) -> None:
        cared = time.monotonic()
        while not self._closing:
            time.sleep(_TICK_SECONDS)
            if self._has_expired:
                logger.error("no word from the cluster for %g s", self._config.lease)
                self._give_up()
                return
            now = time.monotonic()
            self._drop_old(now)
            if now - cared > _CARE_SECONDS:
                cared = now
                kill_orphans()
                stop_idle_environments(_KEEP_SECONDS / 24)
                self._code.remove_unused(_KEEP_SECONDS)
                self._models.unload_idle(self._model_idle)

    def _drop_old(self, now: float) -> None:
        for ref, accepted in list(self._accepted.items()):
            status = self._runner.status(ref)
            if status is None:
                continue
            if status.state == "placed" and now - accepted > DROP_SECONDS:
                self._runner.stop(ref, "it was not begun")
                self.forget(*ref)
            elif status.state == "running" and now - self._watched.setdefault(ref, now) > _ALONE_SECONDS:
                self._runner.stop(ref, "no server has asked for it for long")
            elif status.state == "ended" and now - self._ended.setdefault(ref, now) > _KEEP_SECONDS:
                self.forget(*ref)

    def _give_up(self) -> None:
        """Kill all jobs and end: the cluster may start them again elsewhere."""
        self._closing = True
        self._lease.extend(float("-inf"))
        self._runner.close()
        self._models.kill()
        kill_all()
        self._end()


def user_folder() -> Path:
    """Return the folder of this machine's nodes, which only this user can read; make it if it is missing.

    Raises:
        StartError: It belongs to someone else, or cannot be made.
    """
    folder = Path(tempfile.gettempdir()) / f"ibmodels-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise StartError(f"{folder} cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StartError(f"{folder} can be used by others; remove it, or set TMPDIR to a folder of your own")
    return folder


def _read(file: Path, offset: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(_MAX_LOG)
    except FileNotFoundError:
        return b""


def _exit() -> None:
    logging.shutdown()
    os._exit(1)
