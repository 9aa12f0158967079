"""Output of commands: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.reports.tables import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout."""
    _put(sys.stdout, lines)


def tell(sentence: str) -> None:
    """Write a sentence to stderr, without secrets."""
    _put(sys.stderr, [redacted(sentence)])


def _put(stream: TextIO, lines: Iterable[str]) -> None:
    """Write lines, with escapes for characters that the stream cannot encode."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = "".join(f"{harmless(line)}\n" for line in lines)
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
