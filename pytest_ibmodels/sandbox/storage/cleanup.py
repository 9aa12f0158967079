"""A folder that goes when this process does."""

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


class RemovedAtEnd:
    """Removes ``folder`` when the process ends in good order, which SIGINT and SIGTERM make it do from now on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._removing = threading.Lock()
        # Unlike a block's end, this comes after the threads that may still be writing.
        atexit.register(self.remove)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)

    def keep(self) -> None:
        """Leave the folder where it is after all."""
        atexit.unregister(self.remove)

    def remove(self) -> None:
        """Remove the folder now. If another thread is at it, wait until it is done."""
        with self._removing:
            for _attempt in range(_ATTEMPTS):
                # A process that was killed a moment ago may still have left something.
                shutil.rmtree(self.folder, ignore_errors=True)
                if not self.folder.exists():
                    return
                time.sleep(0.05)
            logger.warning("the folder '%s' could not be removed", self.folder)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
