"""Plain text tables for terminals, logs and XML files, and safe forms of texts from environments."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TERMINAL_CODES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COMMAND_OF_A_LINE = re.compile(r"^(?=[^\S\n]*::)", re.MULTILINE)
"""GitHub's runner executes lines such as `::add-mask::x`, also after blanks."""
_COMMAND_ANYWHERE = re.compile(r"##(?=\w*\[)")
"""Commands anywhere in a line: `##[add-mask]x` (GitHub), `##vso[...]` (Azure), `##teamcity[...]`."""

Row = Sequence[str]


def table(header: Row, rows: Sequence[Row], *, right: frozenset[int] = frozenset(), indent: str = "  ") -> list[str]:
    """Lines of a table; the columns with the indices ``right`` are aligned to the right."""
    cells = [[_joined(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    return [
        harmless(
            indent + "  ".join(_cell(row[index], widths[index], index in right) for index in range(len(header)))
        ).rstrip()
        for row in cells
    ]


def _joined(text: str) -> str:
    lines = plain(text).splitlines()
    return " ".join(line.strip() for line in lines) if len(lines) > 1 else "".join(lines)


def _cell(text: str, width: int, to_the_right: bool) -> str:
    return text.rjust(width) if to_the_right else text.ljust(width)


def clipped(text: str, characters: int) -> str:
    """``text``, at most so many characters long."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def plain(text: str) -> str:
    """``text`` without colour codes, and with `�` for control characters, which XML cannot hold."""
    return _CONTROLS.sub("\ufffd", _TERMINAL_CODES.sub("", text).replace("\r\n", "\n"))


def harmless(text: str) -> str:
    """``text`` as by :func:`plain`, with no part of it a command to a CI server."""
    return _COMMAND_ANYWHERE.sub("# #", _COMMAND_OF_A_LINE.sub("| ", plain(text)))


def one_line(text: str) -> str:
    """``text`` as by :func:`harmless`, without line breaks."""
    return harmless(_joined(text))
