"""Imported once, by the process that training and serving processes are forked from.

That process outlives each of them. So it is made the one to which what they leave behind falls, whence the server ends
it, and it ends all of that itself when the server is gone, however that went.
"""

import atexit
import os
import signal
import warnings
from contextlib import suppress
from types import FrameType

from pytest_ibmodels.sandbox.execution.descendants import become_subreaper, kill_own_descendants

_LOOK_SECONDS = 1.0
_END_SECONDS = 5.0


def _guard() -> None:
    server, own = os.getppid(), os.getpid()

    def end_all() -> None:
        # What is forked from this process has this function too.
        if os.getpid() == own:
            kill_own_descendants(_END_SECONDS)

    def look(_number: int, _frame: FrameType | None) -> None:
        if os.getpid() == own and os.getppid() != server:
            end_all()
            os._exit(0)

    become_subreaper()
    # multiprocessing warns of each that it did not start itself.
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
    # A signal to all that belongs to the server is for the server to answer; this process ends after it.
    with suppress(OSError):
        os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    atexit.register(end_all)
    signal.signal(signal.SIGALRM, look)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)


_guard()
