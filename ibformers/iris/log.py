"""Forward the log of a training to the log of the production."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iop import BusinessOperation


class _ProductionHandler(logging.Handler):
    def __init__(self, operation: BusinessOperation) -> None:
        super().__init__(logging.INFO)
        self._operation = operation
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        # Only the thread that IRIS called may call IRIS.
        if record.thread != self._thread:
            return
        try:
            self._log(record.levelno)(record.getMessage())
        except Exception:  # noqa: BLE001 - as every handler of logging: a failing log must not end a training
            self.handleError(record)

    def _log(self, level: int) -> Callable[[str], None]:
        if level >= logging.ERROR:
            return self._operation.log_error
        return self._operation.log_warning if level >= logging.WARNING else self._operation.log_info


@contextlib.contextmanager
def production_log(operation: BusinessOperation) -> Iterator[None]:
    """Forward log records of `ibformers` from this thread to the production's log while the context is open."""
    package = logging.getLogger("ibformers")
    handler, level = _ProductionHandler(operation), package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
