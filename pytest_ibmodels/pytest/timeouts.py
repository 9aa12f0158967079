"""pytest-timeout and model tests: the deadline of an item is kept by whoever waits for its run.

A signal in the middle of the wait would fail the item and leave its job running, and the method ``thread`` would end
pytest with all jobs running. So the run is ended, and its item fails as past any other limit; pytest-timeout's own
timer stands behind, in case that the main thread does not come to look.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

from pytest_ibmodels.pytest.collection import PhaseItem

DEADLINE: pytest.StashKey[tuple[float, float]] = pytest.StashKey()
"""On the config, of the item that runs: the monotonic second, and the seconds that the item was given."""

_BEHIND_SECONDS = 30.0


def set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """Answer of ``pytest_timeout_set_timer``; None leaves it to pytest-timeout."""
    stash = item.config.stash
    if not isinstance(item, PhaseItem) or DEADLINE in stash or not settings.timeout:
        return None
    stash[DEADLINE] = (time.monotonic() + settings.timeout, settings.timeout)
    later = settings._replace(timeout=settings.timeout + _BEHIND_SECONDS)
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGALRM"):
        later = later._replace(method="signal")
    # Asked again with the later time, this hook finds the deadline set and leaves the timer to pytest-timeout.
    item.config.hook.pytest_timeout_set_timer(item=item, settings=later)
    return True


def cancel_timer(item: pytest.Item) -> None:
    """Forget the deadline; pytest-timeout cancels its own timer."""
    if isinstance(item, PhaseItem) and DEADLINE in item.config.stash:
        del item.config.stash[DEADLINE]


def overdue(config: pytest.Config) -> str:
    """Why the item that runs has to end now; empty if it need not."""
    at, seconds = config.stash.get(DEADLINE, (float("inf"), 0.0))
    return "" if time.monotonic() < at else f"the item did not end within its timeout of {seconds:g} s"
