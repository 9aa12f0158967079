"""Parts of a job's log by byte offset: a log may have 256 MiB, and a reader wants a screenful."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from pytest_ibmodels.sandbox.plaintext import visible

Level = Literal["debug", "info", "warning", "error"]
MAX_LINE = 4000
"""Characters of a line that are shown."""
_CHUNK = 4 * 2**20
_LEVEL = re.compile(rb"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_LEVEL_BYTES = 80
"""Length of a line's beginning in which its level may stand."""
_TRACEBACK = b"Traceback (most recent call last)"
_ERROR_MARKS = (b"ERROR", b"CRITICAL", _TRACEBACK)
_LEVELS: dict[bytes, Level] = {b"DEBUG": "debug", b"INFO": "info", b"WARNING": "warning"}


@dataclass(frozen=True)
class Line:
    """A line of a log, at the byte ``offset``."""

    offset: int
    text: str
    level: Level


@dataclass(frozen=True)
class LogPart:
    """Lines of a log.

    Attributes:
        begin: Offset of the first line.
        end: Offset after the last line.
        size: Size of the log in bytes.
    """

    lines: tuple[Line, ...]
    begin: int
    end: int
    size: int


def read_part(log: Path, begin: int, *, max_lines: int, max_bytes: int, is_complete: bool = True) -> LogPart:
    """Read lines from a byte offset on. A line of more than ``max_bytes`` is read in pieces.

    Args:
        log: The file.
        begin: Offset, in most cases that of a line.
        max_lines: Maximum number of lines.
        max_bytes: Maximum number of bytes that are read.
        is_complete: Whether the log grows no more: its last line counts without an end of line.
    """
    with _opened(log) as file:
        if file is None:
            return LogPart((), 0, 0, 0)
        size = os.fstat(file.fileno()).st_size
        begin = min(max(begin, 0), size)
        file.seek(begin)
        data = file.read(max_bytes)
    # A line longer than a whole part is shown in pieces.
    if not (is_complete and begin + len(data) >= size) and not (b"\n" not in data and len(data) == max_bytes):
        data = data[: data.rfind(b"\n") + 1]
    lines: list[Line] = []
    end = begin
    for raw in _split(data):
        if len(lines) == max_lines:
            break
        lines.append(_line(end, raw))
        end += len(raw)
    return LogPart(tuple(lines), begin, end, size)


def read_end(log: Path, *, max_lines: int, max_bytes: int, is_complete: bool = True) -> LogPart:
    """Read the last lines."""
    size = log_size(log)
    begin = start_before(log, size, max_lines=max_lines, max_bytes=max_bytes)
    return read_part(log, begin, max_lines=max_lines, max_bytes=max_bytes, is_complete=is_complete)


def start_before(log: Path, end: int, *, max_lines: int, max_bytes: int) -> int:
    """Return the offset of the first of the ``max_lines`` lines before ``end``, which itself begins a line.

    There are fewer lines if they have more than ``max_bytes``.
    """
    begin = max(0, end - max_bytes)
    with _opened(log) as file:
        if file is None:
            return 0
        file.seek(begin)
        data = file.read(end - begin)
    at = len(data) - data.endswith(b"\n")
    for _ in range(max_lines):
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            break
    if at >= 0 or begin == 0:
        return begin + at + 1
    # The first line of the data began before it.
    first = data.find(b"\n") + 1
    return begin + first if 0 < first < len(data) else begin


def first_error(log: Path) -> int | None:
    """Return the offset of the first line that is an error or begins a traceback, or None."""
    overlap = 2 * (_LEVEL_BYTES + len(_TRACEBACK))
    with _opened(log) as file:
        position, kept = 0, b""
        while file is not None and (chunk := file.read(_CHUNK)):
            data = kept + chunk
            found = _first_error_in(data, is_line_start=position == 0)
            if found is not None:
                return position - len(kept) + found
            position += len(chunk)
            kept = data[-overlap:]
    return None


def log_size(log: Path) -> int:
    """Return the size of a log in bytes; 0 if there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _first_error_in(data: bytes, *, is_line_start: bool) -> int | None:
    """Return the offset of the first error's line in ``data``."""
    first: int | None = None
    for mark in _ERROR_MARKS:
        at = data.find(mark)
        while at >= 0 and (first is None or at < first):
            begin = data.rfind(b"\n", max(0, at - _LEVEL_BYTES - 1), at) + 1
            if begin or (is_line_start and at <= _LEVEL_BYTES):
                line = data[begin : begin + _LEVEL_BYTES + len(_TRACEBACK)].partition(b"\n")[0]
                if _level(line) == "error":
                    first = begin
                    break
            line_end = data.find(b"\n", at)
            at = data.find(mark, line_end) if line_end >= 0 else -1
    return first


def _split(data: bytes) -> Iterator[bytes]:
    """Split at line feeds alone: a progress bar overwrites its line with carriage returns."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin) + 1 or len(data)
        yield data[begin:end]
        begin = end


def _line(offset: int, raw: bytes) -> Line:
    # As on a terminal, the last text that overwrote the line is seen.
    shown = raw.rstrip(b"\r\n").rpartition(b"\r")[2]
    text = visible(shown[: 4 * MAX_LINE].decode(errors="replace"))
    if len(text) > MAX_LINE or len(shown) > 4 * MAX_LINE:
        text = f"{text[:MAX_LINE]} … (a line of {len(raw):,} bytes)"
    return Line(offset, text, _level(shown))


def _level(line: bytes) -> Level:
    if _TRACEBACK in line[: _LEVEL_BYTES + len(_TRACEBACK)]:
        return "error"
    found = _LEVEL.search(line[:_LEVEL_BYTES])
    return "info" if found is None else _LEVELS.get(found[1], "error")


@contextmanager
def _opened(log: Path) -> Iterator[IO[bytes] | None]:
    """Open a log; None if it is no file. The job's code can put anything in its place, such as a pipe."""
    try:
        number = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    with os.fdopen(number, "rb") as file:
        yield file if stat.S_ISREG(os.fstat(number).st_mode) else None
