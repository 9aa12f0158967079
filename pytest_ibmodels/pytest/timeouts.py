"""pytest-timeout and model tests: the loop that waits for a run checks the item's deadline.

pytest-timeout's signal would fail the item and leave its job running, and its method ``thread`` would end pytest with
all jobs running. So the run is cancelled, and its item fails as with any other limit. pytest-timeout's own timer is
kept as a backstop, some seconds later, in case the main thread is blocked.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

from pytest_ibmodels.pytest.nodes import PhaseItem

_DEADLINE: pytest.StashKey[tuple[float, float]] = pytest.StashKey()
"""On the config: deadline of the running item on the monotonic clock, and its timeout, both in seconds."""

_BACKSTOP_SECONDS = 30.0


def set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """Set an item's deadline; return None to let pytest-timeout set its own timer."""
    stash = item.config.stash
    if not isinstance(item, PhaseItem) or _DEADLINE in stash or not settings.timeout:
        return None
    stash[_DEADLINE] = (time.monotonic() + settings.timeout, settings.timeout)
    later = settings._replace(timeout=settings.timeout + _BACKSTOP_SECONDS)
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGALRM"):
        later = later._replace(method="signal")
    # The nested call finds the deadline set and returns None, so pytest-timeout sets its timer to the later time.
    item.config.hook.pytest_timeout_set_timer(item=item, settings=later)
    return True


def cancel_timer(item: pytest.Item) -> None:
    """Remove the deadline; pytest-timeout cancels its own timer."""
    if isinstance(item, PhaseItem) and _DEADLINE in item.config.stash:
        del item.config.stash[_DEADLINE]


def overdue(config: pytest.Config) -> str:
    """Return an error message if the running item is past its deadline; else an empty text."""
    at, seconds = config.stash.get(_DEADLINE, (float("inf"), 0.0))
    return "" if time.monotonic() < at else f"the item did not end within its timeout of {seconds:g} s"
