"""Plain text tables, as a terminal, a log and an XML file show them alike."""

from __future__ import annotations

from collections.abc import Sequence

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
