"""Tesseract's TSV (`tesseract IMAGE NAME tsv`). A file is a document."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.pages import Box, Line, Page, SourceDocument, make_page, split_words
from pytest_ibmodels.documents.text_files import files_below, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".tsv",)
HEADER = (
    "level", "page_num", "block_num", "par_num", "line_num", "word_num", "left", "top", "width", "height", "conf",
    "text",
)  # fmt: skip

_PAGE, _WORD = 1, 5


def read(folder: Path, encoding: str) -> Iterator[SourceDocument]:
    """Read the files of a folder."""
    for file in files_below(folder, SUFFIXES):
        name = file.relative_to(folder).with_suffix("").as_posix()
        yield SourceDocument(name, file, _pages(read_text(file, encoding), file))


def _pages(text: str, file: Path) -> tuple[Page, ...]:
    rows = text.split("\n")
    if tuple(rows[0].split("\t")) != HEADER:
        raise DocumentsError(f"the first line must be Tesseract's header, {' '.join(HEADER)}", file, 1)
    sizes: dict[int, tuple[float, float] | None] = {}
    lines: dict[int, dict[tuple[int, ...], Line]] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = row.split("\t")
        if not row.strip() or tuple(cells) == HEADER:
            continue
        level, page, *line = (_integer(cells, index, file, number) for index in range(5))
        sizes.setdefault(page, None)
        if level == _PAGE:
            sizes[page] = _box(cells, file, number)[2:]
        if level == _WORD and len(cells) < len(HEADER):
            raise DocumentsError(f"a word has {len(cells)} cells instead of {len(HEADER)}", file, number)
        content = "\t".join(cells[len(HEADER) - 1 :])
        if level == _WORD and content.strip():
            of_page = lines.setdefault(page, {})
            key = tuple(line)
            of_page[key] = (*of_page.get(key, ()), *split_words(content, _box(cells, file, number)))
    return tuple(make_page(list(lines.get(page, {}).values()), sizes[page]) for page in sorted(sizes))


def _box(cells: list[str], file: Path, number: int) -> Box:
    left, top, width, height = (_number(cells, index, file, number) for index in range(6, 10))
    if width < 0 or height < 0:
        raise DocumentsError(f"width and height must not be negative: {width:g} and {height:g}", file, number)
    return left, top, left + width, top + height


def _integer(cells: list[str], index: int, file: Path, number: int) -> int:
    value = _number(cells, index, file, number)
    if not value.is_integer():
        raise DocumentsError(f"{HEADER[index]} must be a whole number, not {cells[index]!r}", file, number)
    return int(value)


def _number(cells: list[str], index: int, file: Path, number: int) -> float:
    if index >= len(cells):
        raise DocumentsError(f"the cell {HEADER[index]} is missing", file, number)
    try:
        value = float(cells[index])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DocumentsError(f"{HEADER[index]} must be a number, not {cells[index]!r}", file, number)
    return value
