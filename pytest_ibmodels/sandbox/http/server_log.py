"""The server's log: to a file of bounded size and to stderr, and no flood of the same."""

import logging
import sys
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

_LOG_BYTES = 16 * 2**20
_WINDOW_SECONDS = 10.0
_MOST_ALIKE = 200
_MOST_KINDS = 1000
_DECISION = "ibmodels_is_written"


class RateLimit(logging.Filter):
    """Lets through so many records of a kind in a time, and tells once that there were more.

    Records are alike if the same logger wrote them with the same message, before its arguments are filled in.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[tuple[str, str], int] = {}
        self._began = time.monotonic()
        self._counting = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a record: the same for all handlers that share this filter."""
        if not hasattr(record, _DECISION):
            setattr(record, _DECISION, self._is_written(record))
        return bool(getattr(record, _DECISION))

    def _is_written(self, record: logging.LogRecord) -> bool:
        kind = record.name, str(record.msg)[:200]
        with self._counting:
            if time.monotonic() - self._began > _WINDOW_SECONDS or len(self._counts) > _MOST_KINDS:
                self._counts.clear()
                self._began = time.monotonic()
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count == _MOST_ALIKE:
            record.msg = f"{record.getMessage()} (more like this are left out for {_WINDOW_SECONDS:g} s)"
            record.args = None
        return count <= _MOST_ALIKE


def set_up_logging(file: Path) -> None:
    """Log to ``file`` and stderr from now on."""
    to_file = RotatingFileHandler(file, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), to_file]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=handlers)
    limit = RateLimit()
    for handler in handlers:
        handler.addFilter(limit)
    # On a full disk stderr still has every line; tracebacks about the file would bury them.
    logging.raiseExceptions = False
