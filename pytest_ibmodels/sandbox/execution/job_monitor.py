"""Monitor of the process of a job: its reports, its log, and its limits of memory, time and output."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.job_spec import Limits
from pytest_ibmodels.sandbox.execution.joblog import LogTimes
from pytest_ibmodels.sandbox.execution.processes import ChildProcess
from pytest_ibmodels.sandbox.settings import GIB, MIB

MAX_LOG_BYTES = 256 * MIB
_POLL_SECONDS = 0.5
_REPORT_SECONDS = 0.2
_GRACE_SECONDS = 2.0


class JobMonitor:
    """Monitor of one process."""

    def __init__(
        self,
        process: ChildProcess,
        limits: Limits,
        log: Path,
        *,
        report: Callable[[dict[str, Any]], None],
        stop: Callable[[str], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        """Make a monitor, which starts with :meth:`run`.

        Args:
            process: The process.
            limits: What it may use.
            log: File of its output.
            report: Takes the newest ``task_data`` and ``message`` at most five times per second, and ``peak_memory``.
            stop: Takes the reason before the process is killed for a limit.
            is_stopped: Whether the job was stopped meanwhile.
        """
        self._process = process
        self._limits = limits
        self._report = report
        self._stop = stop
        self._is_stopped = is_stopped
        self._log_times = LogTimes(log)
        self._started = time.monotonic()
        self._measured = self._reported = 0.0
        self._peak = 0
        self._pending: dict[str, Any] = {}

    def run(self) -> dict[str, Any] | None:
        """Monitor the process until it has ended; return its last message, or None if it sent none."""
        while True:
            self._process.wait(self._pause())
            outcome = self._poll()
            if outcome is not None:
                self._process.wait_for_exit(_GRACE_SECONDS)
                return outcome
            if self._process.has_ended() or self._is_stopped():
                # The outcome may have arrived since the last poll.
                return self._poll()
            self._report_pending()
            self._enforce_limits()

    def report_all(self) -> None:
        """Report what has not been reported yet."""
        self._reported = 0.0
        self._log_times.record()
        self._pending["peak_memory"] = self._peak
        self._report_pending()

    def _pause(self) -> float:
        """Return the seconds until the next look at the process; a report of it ends them sooner."""
        if not self._pending:
            return _POLL_SECONDS
        return max(0.0, self._reported + _REPORT_SECONDS - time.monotonic())

    def _poll(self) -> dict[str, Any] | None:
        """Collect the reports that have arrived; return the outcome if it is among them."""
        try:
            messages = self._process.messages()
        except EOFError:
            return None
        for message in messages:
            if "metadata" in message:
                self._pending["task_data"] = message["metadata"]
            elif "message" in message:
                self._pending["message"] = message["message"]
            else:
                self._peak = max(self._peak, message["peak_memory"])
                return message
        return None

    def _report_pending(self) -> None:
        now = time.monotonic()
        if self._pending and now - self._reported >= _REPORT_SECONDS:
            self._report(self._pending)
            self._pending = {}
            self._reported = now

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        if now - self._measured < _POLL_SECONDS:
            return
        self._measured = now
        used = self._process.memory_bytes(self._limits.memory)
        if used > self._peak:
            self._peak = used
            self._report({"peak_memory": used})
        reason = self._limit_violation(used, now - self._started, self._log_times.record())
        if reason is not None:
            self._stop(reason)
            self._process.kill()

    def _limit_violation(self, used: int, seconds: float, log_bytes: int) -> str | None:
        limits = self._limits
        if used > limits.memory:
            option = limits.memory_option
            return (
                f"the training process used {used / GIB:.2f} GiB of memory, more than its limit of "
                f"{limits.memory / GIB:g} GiB, and was killed (pages that its processes share count once; "
                f"{option} sets the limit)"
            )
        if seconds > limits.seconds:
            return (
                f"the training process ran for {seconds:.0f} s, longer than its limit of {limits.seconds:g} s, "
                "and was killed (the sandbox's option --job-time sets the limit)"
            )
        if log_bytes > MAX_LOG_BYTES:
            return f"the training process wrote more than {MAX_LOG_BYTES / MIB:g} MiB of output, and was killed"
        return None
