"""Times at which the monitor of a job passes on its reports."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_ibmodels.sandbox.execution import job_monitor
from pytest_ibmodels.sandbox.execution.job_monitor import JobMonitor
from pytest_ibmodels.sandbox.execution.job_spec import Limits

if TYPE_CHECKING:
    from pytest_ibmodels.sandbox.execution.processes import ChildProcess


class Clock:
    """A clock that stands still but for waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Process:
    """A process that sends each message at its time, and whose memory grows all the time."""

    def __init__(self, clock: Clock, messages: dict[float, dict[str, Any]]) -> None:
        self._clock = clock
        self._start = clock.now
        self._messages = sorted(messages.items())

    def wait(self, seconds: float) -> None:
        due = self._start + self._messages[0][0] if self._messages else float("inf")
        self._clock.now = min(self._clock.now + seconds, max(due, self._clock.now))

    def messages(self) -> list[dict[str, Any]]:
        found = []
        while self._messages and self._start + self._messages[0][0] <= self._clock.now:
            found.append(self._messages.pop(0)[1])
        return found

    def memory_bytes(self, _limit: int) -> int:
        return int((self._clock.now - self._start) * 1000)

    def wait_for_exit(self, seconds: float) -> None:
        pass

    def has_ended(self) -> bool:
        return False


def test_a_report_is_passed_on_at_once_unless_another_one_was_just_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Clock()
    monkeypatch.setattr(job_monitor, "time", clock)
    (tmp_path / "log.txt").touch()
    messages: dict[float, dict[str, Any]] = {
        1.1: {"metadata": {"progress": 0.1}},  # the memory was measured at 1.0
        1.15: {"message": "Learning."},
        1.2: {"metadata": {"progress": 0.2}},
        3.0: {"result": None, "peak_memory": 9},
    }
    reports: list[tuple[float, dict[str, Any]]] = []
    monitor = JobMonitor(
        cast("ChildProcess", Process(clock, messages)),
        Limits(memory=2**30, seconds=60, unzipped=2**20, memory_option="--job-memory"),
        tmp_path / "log.txt",
        report=lambda found: reports.append((round(clock.now - 100, 2), found)),
        stop=pytest.fail,
        is_stopped=lambda: False,
    )
    assert monitor.run() == {"result": None, "peak_memory": 9}
    told = [(seconds, found) for seconds, found in reports if "peak_memory" not in found]
    assert told == [
        (1.1, {"task_data": {"progress": 0.1}}),
        (1.3, {"message": "Learning.", "task_data": {"progress": 0.2}}),
    ]
    peaks = [found["peak_memory"] for _, found in reports if "peak_memory" in found]
    assert peaks == sorted(peaks)
    assert len(peaks) >= 4
