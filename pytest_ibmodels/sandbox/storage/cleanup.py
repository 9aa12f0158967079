"""Folder that is removed when the process ends."""

import atexit
import logging
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

logger = logging.getLogger(__name__)

_ATTEMPTS = 10


class CleanupDir:
    """Removes ``folder`` when the process ends normally; SIGINT and SIGTERM end it normally from now on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._removing = threading.Lock()
        # At exit, as other threads may write until then.
        atexit.register(self.remove)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)

    def keep(self) -> None:
        """Do not remove the folder after all."""
        atexit.unregister(self.remove)

    def remove(self) -> None:
        """Remove the folder now, or wait until another thread has removed it."""
        with self._removing:
            for _attempt in range(_ATTEMPTS):
                # A process that was just killed may still have written something.
                shutil.rmtree(self.folder, ignore_errors=True)
                if not self.folder.exists():
                    return
                time.sleep(0.05)
            logger.warning("the folder '%s' could not be removed", self.folder)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
