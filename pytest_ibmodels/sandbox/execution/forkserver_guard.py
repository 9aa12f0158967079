"""Make the fork server the parent of every orphan, and end it with the server.

Imported once, by the fork server, which outlives the processes forked from it. The server finds their orphans among its
children and kills them; when the server is gone, the fork server kills them itself.
"""

import atexit
import os
import signal
import warnings
from contextlib import suppress
from types import FrameType

from pytest_ibmodels.sandbox.execution.descendants import become_subreaper, kill_own_descendants

_POLL_SECONDS = 1.0
_END_SECONDS = 5.0


def _guard() -> None:
    server, own = os.getppid(), os.getpid()

    def kill_all() -> None:
        # Forked processes inherit this function.
        if os.getpid() == own:
            kill_own_descendants(_END_SECONDS)

    def poll_server(_number: int, _frame: FrameType | None) -> None:
        if os.getpid() == own and os.getppid() != server:
            kill_all()
            os._exit(0)

    become_subreaper()
    # multiprocessing warns of every orphan, which it did not start itself.
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
    # A signal to the server's process group is handled by the server; this process ends after it.
    with suppress(OSError):
        os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    atexit.register(kill_all)
    signal.signal(signal.SIGALRM, poll_server)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, _POLL_SECONDS, _POLL_SECONDS)


_guard()
