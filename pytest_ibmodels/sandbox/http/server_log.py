"""Log of the server: a file of limited size, and stderr, with a rate limit."""

import logging
import platform
import socket
import sys
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

_LOG_BYTES = 16 * 2**20
_WINDOW_SECONDS = 10.0
_MAX_ALIKE = 200
_MAX_KINDS = 1000
_DECISION = "ibmodels_is_written"


class RateLimit(logging.Filter):
    """Filter that limits similar records per time window, and says once that more are left out.

    Records are similar if they have the same logger and the same message without its arguments.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[tuple[str, str], int] = {}
        self._began = time.monotonic()
        self._counting = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record, with the same answer for all handlers of this filter."""
        if not hasattr(record, _DECISION):
            setattr(record, _DECISION, self._is_written(record))
        return bool(getattr(record, _DECISION))

    def _is_written(self, record: logging.LogRecord) -> bool:
        kind = record.name, str(record.msg)[:200]
        with self._counting:
            if time.monotonic() - self._began > _WINDOW_SECONDS or len(self._counts) > _MAX_KINDS:
                self._counts.clear()
                self._began = time.monotonic()
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count == _MAX_ALIKE:
            record.msg = f"{record.getMessage()} (similar ones are left out for {_WINDOW_SECONDS:g} s)"
            record.args = None
        return count <= _MAX_ALIKE


def log_name(listener: socket.socket, is_shared: bool) -> str:
    """Name of the log; servers that share a data folder have one each, which they keep after a restart."""
    return f"server-{platform.node()}-{listener.getsockname()[1]}.log" if is_shared else "server.log"


def set_up_logging(file: Path) -> None:
    """Log to ``file`` and stderr."""
    to_file = RotatingFileHandler(file, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), to_file]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=handlers)
    limit = RateLimit()
    for handler in handlers:
        handler.addFilter(limit)
    # On a full disk stderr still has every line, which tracebacks about the file would bury.
    logging.raiseExceptions = False
