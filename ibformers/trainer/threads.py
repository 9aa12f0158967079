"""How torch's threads behave beside other work. Imports nothing heavy, because it must run before torch is loaded."""

from __future__ import annotations

import os


def let_waiting_threads_sleep() -> None:
    """Let OpenMP threads that wait for each other sleep, unless OMP_WAIT_POLICY says otherwise.

    By default they spin. Where another process needs a core, they then spin on the core that the thread they wait
    for would need: on two busy cores a training was slowed down more than four times. Without effect once torch is
    loaded, so an environment that loads torch ahead sets OMP_WAIT_POLICY=PASSIVE itself.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
