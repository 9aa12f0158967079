"""Everything a sandbox consists of, apart from HTTP."""

import fcntl
import logging
import os
import shutil
import threading
from pathlib import Path
from typing import IO

from pytest_ibmodels.sandbox.drive import Drive
from pytest_ibmodels.sandbox.errors import DataInUseError, StartError
from pytest_ibmodels.sandbox.marketplace import Marketplace, applications_mount
from pytest_ibmodels.sandbox.processes import kill_all, warm_up
from pytest_ibmodels.sandbox.refiner import Refiner
from pytest_ibmodels.sandbox.serving import ModelPool
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.store import Store
from pytest_ibmodels.sandbox.tasks import TaskRunner
from pytest_ibmodels.sandbox.training import TrainingQueue

logger = logging.getLogger(__name__)


class Sandbox:
    """Opens (or makes) the data folder, and ends in the store what a former server left unfinished.

    Raises (when made):
        StartError: if the data folder or the database cannot be used, or another sandbox uses them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = _claim(settings.data)
        try:
            self.store = Store(settings.database_url)
        except StartError:
            self._lock.close()
            raise
        shutil.rmtree(settings.scratch, ignore_errors=True)
        for folder in (settings.scratch, settings.drive_root, settings.jobs_root, settings.samples_root):
            folder.mkdir(parents=True, exist_ok=True)
        self.store.fail_unfinished()
        self.drive = Drive(settings.drive_root, settings.scratch, (applications_mount(settings), *settings.mounts))
        self.marketplace = Marketplace(settings, self.drive, self.store)
        self.tasks = TaskRunner(self.store)
        self.training = TrainingQueue(settings, self.drive, self.store, self.marketplace)
        self.models = ModelPool(settings, self.drive)
        self.refiner = Refiner(self.drive, self.store, self.models, self.tasks)

    def start(self) -> None:
        """Begin what takes seconds, in the background: the imports of training code, and the samples."""
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def close(self) -> None:
        """Kill everything that was started, and let go of the data folder."""
        self.tasks.close()
        self.training.close()
        self.models.close()
        kill_all()
        self.store.close()
        self._lock.close()

    def _warm_up(self) -> None:
        try:
            warm_up(preload=self.settings.preload)
            for mount in self.settings.mounts:
                mount.folder()
        except Exception:
            logger.exception("warm-up")


def _claim(data: Path) -> IO[str]:
    """Lock the data folder for as long as the file is open, however this process ends."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("a+")
    except OSError as error:
        msg = f"the data folder '{data}' cannot be used: {error.strerror or error}"
        raise StartError(msg) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        msg = f"the data folder '{data}' is in use by another sandbox (process {owner}); give this one another --data"
        raise DataInUseError(msg) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
