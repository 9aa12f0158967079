"""Plain text tables, as a terminal, a log and an XML file show them alike; and texts of others, made harmless."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TERMINAL_CODES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COMMAND_OF_A_LINE = re.compile(r"^(?=[^\S\n]*::)", re.MULTILINE)
"""GitHub's runner obeys lines such as `::add-mask::x`, also behind blanks."""
_COMMAND_ANYWHERE = re.compile(r"##(?=\w*\[)")
"""And the older `##[add-mask]x`, anywhere in a line; others obey `##vso[...]` (Azure) and `##teamcity[...]`."""

Row = Sequence[str]


def table(header: Row, rows: Sequence[Row], *, right: frozenset[int] = frozenset(), indent: str = "  ") -> list[str]:
    """Lines of a table, one a row; the columns with the indices ``right`` are aligned to the right."""
    cells = [[" ".join(_lines(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    return [
        harmless(
            indent + "  ".join(_cell(row[index], widths[index], index in right) for index in range(len(header)))
        ).rstrip()
        for row in cells
    ]


def _lines(text: str) -> list[str]:
    lines = plain(text).splitlines()
    return [line.strip() for line in lines] if len(lines) > 1 else lines


def _cell(text: str, width: int, to_the_right: bool) -> str:
    return text.rjust(width) if to_the_right else text.ljust(width)


def clipped(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def plain(text: str) -> str:
    """``text`` as any terminal, log and XML file can hold it: without colour codes, other controls shown as `�`."""
    return _CONTROLS.sub("\ufffd", _TERMINAL_CODES.sub("", text).replace("\r\n", "\n"))


def harmless(text: str) -> str:
    """``text`` for a log that others read: :func:`plain`, and no line of it is a command to a CI server."""
    return _COMMAND_ANYWHERE.sub("# #", _COMMAND_OF_A_LINE.sub("| ", plain(text)))


def one_line(text: str) -> str:
    """As :func:`harmless`, without line breaks."""
    return harmless(" ".join(_lines(text)))
