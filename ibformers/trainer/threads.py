"""OpenMP settings of torch. Imports nothing heavy, because it must run before torch is imported."""

from __future__ import annotations

import os


def let_waiting_threads_sleep() -> None:
    """Set OMP_WAIT_POLICY to PASSIVE, unless it is set, so that waiting OpenMP threads sleep instead of spinning.

    Spinning threads occupy the cores that other threads need: on two busy cores it made a training four times slower.
    The setting has no effect once torch is imported; an environment that imports torch ahead must set it itself.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
