"""Parts of a log by byte offset."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ibmodels.sandbox.execution.log_parts import (
    MAX_LINE,
    first_error,
    log_size,
    read_end,
    read_part,
    start_before,
)

if TYPE_CHECKING:
    from pathlib import Path

LINES = st.lists(st.sampled_from([b"", b"a", b"ERROR x", b"\xff\r", b"w\rx", "né".encode(), b"y" * 300]), max_size=40)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, ends=st.booleans(), max_lines=st.integers(1, 9), max_bytes=st.integers(20, 700))
def test_parts_put_together_are_the_log(
    log: Path, lines: list[bytes], ends: bool, max_lines: int, max_bytes: int
) -> None:
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    log.write_bytes(content)
    offset, ranges = 0, []
    while offset < len(content):
        part = read_part(log, offset, max_lines=max_lines, max_bytes=max_bytes)
        assert part.begin == offset
        assert 0 < len(part.lines) <= max_lines
        ranges += [line.offset for line in part.lines]
        offset = part.end
    assert offset == log_size(log) == len(content)
    # Whole lines, but for those that are longer than a part.
    assert all(at == 0 or content[at - 1 : at] == b"\n" for at in ranges) or max_bytes <= 301
    tail = read_end(log, max_lines=max_lines, max_bytes=max_bytes)
    assert tail.end == len(content)
    assert len(tail.lines) <= max_lines
    begin = start_before(log, len(content), max_lines=max_lines, max_bytes=10_000)
    assert len(content[begin:].removesuffix(b"\n").split(b"\n")) <= max_lines


def test_an_unfinished_line_waits_for_its_end(log: Path) -> None:
    log.write_bytes(b"one\ntwo")
    part = read_part(log, 0, max_lines=10, max_bytes=100, is_complete=False)
    assert ([line.text for line in part.lines], part.end, part.size) == (["one"], 4, 7)
    part = read_part(log, 4, max_lines=10, max_bytes=100, is_complete=True)
    assert [line.text for line in part.lines] == ["two"]


def test_lines_are_shown_as_on_a_terminal(log: Path) -> None:
    progress = b"10%\r50%\r\x1b[32m100%\x1b[0m\n"
    log.write_bytes(progress + b"DEBUG: a\n  WARNING b\n" + b"x" * 80 + b"ERROR\r\n\xff\x00\n" + b"z" * 9999)
    lines = read_end(log, max_lines=10, max_bytes=2**20).lines
    assert [(line.text[:8], line.level) for line in lines] == [
        ("100%", "info"), ("DEBUG: a", "debug"), ("  WARNIN", "warning"), ("xxxxxxxx", "info"), ("\ufffd\\x00", "info"),
        ("zzzzzzzz", "info"),
    ]  # fmt: skip
    assert lines[-1].text == f"{'z' * MAX_LINE} … (a line of 9,999 bytes)"


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"", None),
        (b"fine\nINFO: no ERROR_COUNT\nERRORS\n" + b"-" * 100 + b" ERROR\n", None),
        (b"fine\nERROR: x\nTraceback (most recent call last)\n", 5),
        (b"fine\nTraceback (most recent call last):\nERROR: x\n", 5),
        (b"a\n2026-01-01 12:00 CRITICAL full", 2),
        (b"-" * (4 * 2**20 - 3) + b"\nERROR: over the edge of a chunk", 4 * 2**20 - 2),
        (b"ERROR " * 2**20, 0),
        (b" " * 100 + b"ERROR " * 2**20, None),
    ],
)
def test_the_first_error_is_found(log: Path, content: bytes, offset: int | None) -> None:
    log.write_bytes(content)
    assert first_error(log) == offset


def test_what_is_no_file_is_an_empty_log(log: Path) -> None:
    os.mkfifo(log)
    for _ in ("pipe", "nothing"):
        assert read_end(log, max_lines=9, max_bytes=9).lines == read_part(log, 7, max_lines=9, max_bytes=9).lines == ()
        assert first_error(log) is None
        log.unlink(missing_ok=True)
