"""Tenants of a server: one for each token, each with a drive, jobs, models and a marketplace of its own."""

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress

from pytest_ibmodels.sandbox.errors import SandboxError, StartError
from pytest_ibmodels.sandbox.execution.code_cache import remove_old_archives
from pytest_ibmodels.sandbox.execution.engines import make_executor
from pytest_ibmodels.sandbox.execution.environments import remove_unused
from pytest_ibmodels.sandbox.execution.executor import Executor
from pytest_ibmodels.sandbox.execution.libraries import imports_libraries
from pytest_ibmodels.sandbox.execution.processes import (
    is_environment_busy,
    kill_all,
    kill_orphans,
    prepare_sockets,
    stop_idle_environments,
    warm_up,
)
from pytest_ibmodels.sandbox.services.dispatcher import Dispatcher
from pytest_ibmodels.sandbox.services.marketplace import Marketplace, applications_mount
from pytest_ibmodels.sandbox.services.model_calls import ModelCalls
from pytest_ibmodels.sandbox.services.refiner import Refiner
from pytest_ibmodels.sandbox.services.serving import ModelPool
from pytest_ibmodels.sandbox.services.status import ServerStatus
from pytest_ibmodels.sandbox.services.tasks import TaskRunner
from pytest_ibmodels.sandbox.services.training import Trainings
from pytest_ibmodels.sandbox.services.tuning import Tunings
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.audit import AUDIT_SECONDS, Audit
from pytest_ibmodels.sandbox.storage.data_folder import SCRATCH_SECONDS, DataFolder, remove_old_scratch
from pytest_ibmodels.sandbox.storage.databases import is_shared, refuse_shared_databases
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_listing import JobListing
from pytest_ibmodels.sandbox.storage.locks import PathLocks, SharedPathLocks
from pytest_ibmodels.sandbox.storage.stores import open_store

logger = logging.getLogger(__name__)

_WRITE_SECONDS = 1.0
_TIDY_SECONDS = 60.0


class Tenant:
    """Everything that belongs to one token, in one data folder.

    Creating a tenant marks jobs that a former server left unfinished as failed, unless servers share the database.
    """

    def __init__(
        self, settings: Settings, executor: Executor, dispatcher: Dispatcher, folder: DataFolder, name: str = ""
    ) -> None:
        """Open everything.

        Args:
            settings: Settings of the tenant.
            executor: Runs jobs and models.
            dispatcher: Queue of the server.
            folder: The server's data folder, which it may use.
            name: Name of the tenant; empty for the only one.
        """
        self.settings = settings
        self.name = name
        settings.data.mkdir(parents=True, exist_ok=True)
        self.store = open_store(settings.database_url, dispatcher.owner, folder)
        self.audit = Audit(self.store.database)
        self.job_listing = JobListing(self.store.database)
        is_shared = self.store.database.is_shared
        scratch = settings.scratch / self.store.owner if is_shared else settings.scratch
        if is_shared:
            remove_old_scratch(settings.scratch, self.store.servers_seen(SCRATCH_SECONDS))
        else:
            shutil.rmtree(scratch, ignore_errors=True)
        for needed in (scratch, settings.drive_root, settings.jobs_root):
            needed.mkdir(parents=True, exist_ok=True)
        self.store.fail_unfinished(with_trainings=executor.name == "local")
        locks = SharedPathLocks(settings.locks_root, settings.data) if is_shared else PathLocks()
        self.drive = Drive(settings.drive_root, scratch, (applications_mount(settings), *settings.mounts), locks)
        self.marketplace = Marketplace(settings, self.drive, self.store, self.audit, locks)
        self.tasks = TaskRunner(self.store)
        self.training = Trainings(settings, self.drive, self.store, self.marketplace, executor, dispatcher)
        dispatcher.add(self.store)
        self.server = ServerStatus(executor, dispatcher)
        self.models = ModelPool(settings, self.drive, executor, name)
        self.model_calls = ModelCalls()
        self.tuning = Tunings(settings, scratch, self.training, executor.serve(f"{name}/tuned models"))
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
        remove_old_archives(self.settings.code_root, before)
        self.audit.forget_before(time.time() - AUDIT_SECONDS)
        for job_id in self.store.forget_ended_before(before):
            self.training.forget(job_id)
        for folder in self.settings.jobs_root.iterdir():
            # The folder's job may be missing: the database was lost or replaced. Another server may tidy up, too.
            with suppress(FileNotFoundError):
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

    Creating it locks the server's data folder, alone or with the other servers of its database.

    Raises:
        StartError: The data folder or a database cannot be used, or another server uses it.
    """

    def __init__(self, settings: Settings, names: Iterable[str]) -> None:
        self._settings = settings
        each = {name: settings.for_tenant(name) for name in names}
        refuse_shared_databases({name: its_settings.database_url for name, its_settings in each.items()})
        self._folder = DataFolder(settings.data, is_shared=is_shared(settings.database_url))
        self._executor = make_executor(settings)
        self._dispatcher = Dispatcher(self._executor, uuid.uuid4().hex)
        self._closing = threading.Event()
        self._by_name: dict[str, Tenant] = {}
        try:
            prepare_sockets()
            settings.samples_root.mkdir(exist_ok=True)
            for name, its_settings in each.items():
                self._by_name[name] = Tenant(its_settings, self._executor, self._dispatcher, self._folder, name)
            self._folder.let_others_in()
        except BaseException as error:
            for tenant in self._by_name.values():
                tenant.close()
            self._folder.close()
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
        self._dispatcher.start()
        for target in (self._warm_up, self._run_periodic_work):
            threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True).start()

    def close(self) -> None:
        """Kill all processes, close the tenants, and unlock the data folder."""
        self._closing.set()
        self._dispatcher.close()
        for tenant in self._by_name.values():
            tenant.close()
        kill_all()
        self._folder.close()

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
