"""The layout of ICDAR 2019 SROIE: lines with their corners in `box/`, four values in `key/` or `entities/`.

Both may be in folders of sides: `train/box`, `test/box`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.formats.sides import folders_of_sides
from pytest_ibmodels.documents.images import image_size
from pytest_ibmodels.documents.json_files import JsonFile
from pytest_ibmodels.documents.pages import Line, SourceDocument, Value, bounding_box, make_page, split_words
from pytest_ibmodels.documents.text_files import files_below, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.documents.pages import Side

BOXES = "box"
KEYS = ("key", "entities")

_CORNERS = 8
_TOTAL = "total"


def read(folder: Path, encoding: str) -> Iterator[SourceDocument]:
    """Read the files of a folder."""
    for side, base in folders_of_sides(folder, BOXES):
        prefix = "" if base == folder else f"{base.name}/"
        keys = {file.stem: file for name in KEYS for file in files_below(base / name, (".json", ".txt"))}
        boxes = {file.stem: file for file in files_below(base / BOXES, (".csv", ".txt"))}
        for stem, file in keys.items():
            if stem not in boxes:
                raise DocumentsError(f"{base / BOXES} has no file {stem}.csv or {stem}.txt for these values", file)
        for stem, file in boxes.items():
            yield _document(prefix + stem, file, keys.get(stem), side, encoding)


def _document(name: str, file: Path, keys: Path | None, side: Side | None, encoding: str) -> SourceDocument:
    rows = read_text(file, encoding).split("\n")
    lines = [_line(row, file, number) for number, row in enumerate(rows, start=1) if row.strip()]
    page = make_page(lines, image_size(file.parents[1] / "img", file.stem))
    values = () if keys is None else tuple(_values(JsonFile(keys, encoding)))
    return SourceDocument(name, file, (page,), values, side)


def _line(row: str, file: Path, number: int) -> Line:
    cells = row.split(",", _CORNERS)
    try:
        corners = [float(cell) for cell in cells[:_CORNERS]]
    except ValueError:
        corners = []
    if len(cells) <= _CORNERS or len(corners) < _CORNERS or not all(map(math.isfinite, corners)):
        raise DocumentsError(
            f"a line must be x1,y1,x2,y2,x3,y3,x4,y4,text with eight numbers, not {row[:60]!r}", file, number
        )
    return split_words(cells[_CORNERS], bounding_box(zip(corners[::2], corners[1::2], strict=True)))


def _values(file: JsonFile) -> Iterator[Value]:
    for key in file.get((), dict, "an object of texts, such as total"):
        text = file.get((key,), str, "text")
        field = key[:1].upper() + key[1:]
        if not text.strip():
            continue
        if key == _TOTAL:
            # The amount also stands beside a single article, and where the cash is counted.
            yield Value(field, text, file.where((key,)), beside=_TOTAL, occurrence=-1)
        else:
            yield Value(field, text, file.where((key,)))
