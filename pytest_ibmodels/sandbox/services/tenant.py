"""Tenants of a server: one for each token, each with a drive, jobs, models and a marketplace of its own."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from pytest_ibmodels.sandbox.errors import DataInUseError, SandboxError, StartError
from pytest_ibmodels.sandbox.execution.environments import remove_unused
from pytest_ibmodels.sandbox.execution.job_queue import JobQueue
from pytest_ibmodels.sandbox.execution.libraries import imports_libraries
from pytest_ibmodels.sandbox.execution.processes import (
    is_environment_busy,
    kill_all,
    kill_orphans,
    prepare_sockets,
    stop_idle_environments,
    warm_up,
)
from pytest_ibmodels.sandbox.services.marketplace import Marketplace, applications_mount
from pytest_ibmodels.sandbox.services.model_calls import ModelCalls
from pytest_ibmodels.sandbox.services.refiner import Refiner
from pytest_ibmodels.sandbox.services.serving import ModelPool
from pytest_ibmodels.sandbox.services.tasks import TaskRunner
from pytest_ibmodels.sandbox.services.training import Trainings
from pytest_ibmodels.sandbox.services.tuning import Tunings
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.audit import AUDIT_SECONDS, Audit
from pytest_ibmodels.sandbox.storage.databases import refuse_shared_databases
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_listing import JobListing
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.locks import open_locked

logger = logging.getLogger(__name__)

_WRITE_SECONDS = 1.0
_TIDY_SECONDS = 60.0


class Tenant:
    """Everything that belongs to one token, in one data folder.

    Creating a tenant marks jobs that a former server left unfinished as failed.
    """

    def __init__(self, settings: Settings, queue: JobQueue, name: str = "") -> None:
        self.settings = settings
        self.name = name
        settings.data.mkdir(parents=True, exist_ok=True)
        self.store = Store(settings.database_url)
        self.audit = Audit(self.store.engine)
        self.job_listing = JobListing(self.store.engine)
        shutil.rmtree(settings.scratch, ignore_errors=True)
        for folder in (settings.scratch, settings.drive_root, settings.jobs_root):
            folder.mkdir(parents=True, exist_ok=True)
        self.store.fail_unfinished()
        self.drive = Drive(settings.drive_root, settings.scratch, (applications_mount(settings), *settings.mounts))
        self.marketplace = Marketplace(settings, self.drive, self.store, self.audit)
        self.tasks = TaskRunner(self.store)
        self.training = Trainings(settings, self.drive, self.store, self.marketplace, queue)
        self.models = ModelPool(settings, self.drive)
        self.model_calls = ModelCalls()
        self.tuning = Tunings(settings, self.drive, self.training)
        self.refiner = Refiner(self.drive, self.store, self.models, self.tasks)

    @property
    def shown_name(self) -> str:
        """Name for people; the only token of a server has none."""
        return self.name or "the only token"

    @property
    def caller(self) -> str:
        """Name in the audit of a call of the API."""
        return f"{self.shown_name} (API)"

    def tidy_up(self) -> None:
        """Delete what was not used for long: jobs that ended, with their logs, and environments of requirements.

        Idle processes of tuned models end.
        """
        self.tuning.close_idle()
        before = time.time() - self.settings.keep_jobs
        remove_unused(self.settings.environments_root, before, is_environment_busy)
        self.audit.forget_before(time.time() - AUDIT_SECONDS)
        for job_id in self.store.forget_ended_before(before):
            self.training.forget(job_id)
        for folder in self.settings.jobs_root.iterdir():
            # The folder's job may be missing: the database was lost or replaced.
            if folder.stat().st_mtime < before and self.store.job(folder.name) is None:
                self.training.forget(folder.name)

    def close(self) -> None:
        """Start no more jobs or processes, and close the database."""
        self.tasks.close()
        self.model_calls.close()
        self.models.close()
        self.tuning.close()
        self.store.flush()
        self.store.close()


class Tenants:
    """The tenants of a server, by name. They share the job queue and the fork server.

    Creating it locks the server's data folder.

    Raises:
        StartError: The data folder or a database cannot be used, or another server uses it.
    """

    def __init__(self, settings: Settings, names: Iterable[str]) -> None:
        self._settings = settings
        each = {name: settings.for_tenant(name) for name in names}
        refuse_shared_databases({name: its_settings.database_url for name, its_settings in each.items()})
        self._lock = _claim(settings.data)
        self._queue = JobQueue(settings.max_jobs)
        self._closing = threading.Event()
        self._by_name: dict[str, Tenant] = {}
        try:
            prepare_sockets()
            settings.samples_root.mkdir(exist_ok=True)
            for name, its_settings in each.items():
                self._by_name[name] = Tenant(its_settings, self._queue, name)
        except BaseException as error:
            for tenant in self._by_name.values():
                tenant.close()
            self._lock.close()
            if isinstance(error, SandboxError):
                raise StartError(str(error)) from error
            if isinstance(error, OSError):
                msg = f"the data folder '{settings.data}' cannot be used: {error.strerror or error}"
                raise StartError(msg) from error
            raise

    def get(self, name: str) -> Tenant:
        return self._by_name[name]

    def start(self) -> None:
        """Start background threads: one imports training code and generates samples, one does periodic work."""
        for target in (self._warm_up, self._run_periodic_work):
            threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True).start()

    def close(self) -> None:
        """Kill all processes, close the tenants, and unlock the data folder."""
        self._closing.set()
        self._queue.close()
        for tenant in self._by_name.values():
            tenant.close()
        kill_all()
        self._lock.close()

    def _warm_up(self) -> None:
        try:
            code = self._settings.preload_for
            warm_up(with_libraries=self._settings.preload and code is not None and imports_libraries([code]))
            for mount in self._settings.mounts:
                mount.folder()
        except Exception:
            logger.exception("warm-up")

    def _run_periodic_work(self) -> None:
        tidied = float("-inf")
        while not self._closing.wait(_WRITE_SECONDS):
            # The process of a model may have ended between two calls.
            kill_orphans()
            for tenant in self._by_name.values():
                tenant.store.flush()
            if time.monotonic() - tidied > _TIDY_SECONDS:
                tidied = time.monotonic()
                stop_idle_environments(self._settings.model_idle)
                for tenant in self._by_name.values():
                    _tidy_up(tenant)


def _tidy_up(tenant: Tenant) -> None:
    try:
        tenant.tidy_up()
    except SandboxError as error:
        logger.warning("tidying up: %s", error)
    except Exception:
        logger.exception("tidying up")


def _claim(data: Path) -> IO[str]:
    """Lock the data folder until the returned file is closed or this process ends."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = open_locked(data / "lock")
    except BlockingIOError:
        owner = (data / "lock").read_text(encoding="utf-8").strip() or "unknown"
        msg = f"the data folder '{data}' is in use by another sandbox (process {owner}); give this one another --data"
        raise DataInUseError(msg) from None
    except OSError as error:
        msg = f"the data folder '{data}' cannot be used: {error.strerror or error}"
        raise StartError(msg) from error
    # The process id is for the message above; on a full disk it is missing.
    with suppress(OSError):
        os.ftruncate(lock.fileno(), 0)
        os.write(lock.fileno(), str(os.getpid()).encode())
    return lock
