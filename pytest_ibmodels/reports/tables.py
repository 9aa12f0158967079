"""Plain text tables, as a terminal, a log and an XML file show them alike."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TERMINAL_CODES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Row = Sequence[str]


def table(header: Row, rows: Sequence[Row], *, right: frozenset[int] = frozenset(), indent: str = "  ") -> list[str]:
    """Lines of a table; the columns with the indices ``right`` are aligned to the right."""
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
    return [
        (indent + "  ".join(_cell(row[index], widths[index], index in right) for index in range(len(header)))).rstrip()
        for row in (header, *rows)
    ]


def _cell(text: str, width: int, to_the_right: bool) -> str:
    return text.rjust(width) if to_the_right else text.ljust(width)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def clipped(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def plain(text: str) -> str:
    """``text`` as any terminal, log and XML file can hold it: without colour codes, other controls shown as `�`."""
    return _CONTROLS.sub("\ufffd", _TERMINAL_CODES.sub("", text).replace("\r\n", "\n"))
