"""Log of a training job (Instabase protocol, "Training jobs")."""

import json
import re
import time
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pytest_ibmodels.instabase.wire import LogEntry

MAX_LINES = 10_000
_MAX_READ = 16 * 2**20
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_SANDBOX = "sandbox: "


class LogTimes:
    """Times at which a log had a certain size; the job writes to the file itself, without times."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._marks = marks_file(log)
        self._size = 0

    def record(self) -> int:
        """Record the time if the log has grown, and return its size in bytes."""
        size = self._log.stat().st_size if self._log.exists() else 0
        if size > self._size:
            self._size = size
            # On a full disk the lines lose their times, but the job goes on.
            with suppress(OSError), self._marks.open("a") as file:
                file.write(json.dumps([size, round(time.time(), 3)]) + "\n")
        return size


def note(log: Path, sentence: str, level: Literal["INFO", "WARNING", "ERROR"] = "ERROR") -> None:
    """Append a line of the sandbox to a job's log."""
    with suppress(OSError), log.open("a") as file:
        file.write(f"{_SANDBOX}{level}: {sentence}\n")


def read_logs(logs: Iterable[Path], started: float) -> list[LogEntry]:
    """Read the last lines of the logs of a job's attempts; ``started`` (Unix seconds) stands for a missing time."""
    return [entry for log in logs for entry in _read_log(log, started)][-MAX_LINES:]


def _read_log(log: Path, started: float) -> list[LogEntry]:
    if not log.exists():
        return []
    sizes, times = _read_marks(log)
    with log.open("rb") as file:
        offset = max(0, log.stat().st_size - _MAX_READ)
        file.seek(offset)
        lines = file.read().splitlines(keepends=True)
    entries = []
    for line in lines:
        offset += len(line)
        mark = bisect_left(sizes, offset)
        when = times[min(mark, len(times) - 1)] if times else started
        entries.append(_entry(line.decode(errors="replace").rstrip("\r\n"), when))
    return entries[-MAX_LINES:]


def _entry(line: str, when: float) -> LogEntry:
    found = _LEVEL.search(line[:80])
    level = "INFO" if found is None else found.group(1).replace("CRITICAL", "ERROR")
    ts = datetime.fromtimestamp(when, tz=UTC).isoformat(timespec="milliseconds")
    return LogEntry.model_validate({"ts": ts, "level": level, "log": line, "user": not line.startswith(_SANDBOX)})


def marks_file(log: Path) -> Path:
    """Return the file of the times of a log's lines."""
    return log.with_suffix(".marks")


def _read_marks(log: Path) -> tuple[list[int], list[float]]:
    sizes, times = [], []
    with suppress(OSError, ValueError), marks_file(log).open() as file:
        for line in file:
            size, when = json.loads(line)
            sizes.append(size)
            times.append(when)
    return sizes, times
