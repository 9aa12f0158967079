"""The layout of CORD: `json/NAME.json`, in folders of sides. The fields are its categories, such as `menu.nm`.

Words that it marks as keys (`is_key`) belong to no field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.documents.formats.placing import MarkedWord, marked_values
from pytest_ibmodels.documents.formats.sides import folders_of_sides
from pytest_ibmodels.documents.json_files import JsonFile
from pytest_ibmodels.documents.pages import (
    SourceDocument,
    Word,
    bounding_box,
    clean,
    make_page,
)
from pytest_ibmodels.documents.text_files import files_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.documents.pages import Side

DOCUMENTS = "json"


def read(folder: Path, encoding: str) -> Iterator[SourceDocument]:
    """Read the files of a folder."""
    for side, base in folders_of_sides(folder, DOCUMENTS):
        prefix = "" if base == folder else f"{base.name}/"
        for file in files_below(base / DOCUMENTS, (".json",)):
            yield _document(prefix + file.stem, JsonFile(file, encoding), side)


def _document(name: str, file: JsonFile, side: Side | None) -> SourceDocument:
    rows: dict[tuple[str, object], list[MarkedWord]] = {}
    for number in range(len(file.get(("valid_line",), list, "a list of lines"))):
        for row, marked in _words(file, ("valid_line", number)):
            # Words of one row of the receipt are in several entries, one for each field.
            key = ("entry", number) if row is None else ("row", str(row))
            rows.setdefault(key, []).append(marked)
    lines = [tuple(sorted((one.word for one in row), key=lambda word: word.box[0])) for row in rows.values()]
    lines.sort(key=lambda line: min(word.box[1] for word in line))
    values = marked_values([lines], (one for row in rows.values() for one in row))
    return SourceDocument(name, file.file, (make_page(lines, _size(file)),), values, side)


def _words(file: JsonFile, line: tuple[str | int, ...]) -> Iterator[tuple[object, MarkedWord]]:
    category = file.get((*line, "category"), str, "text")
    words = file.get((*line, "words"), list, "a list of words")
    where = file.where(line)
    for number, word in enumerate(words):
        path = (*line, "words", number)
        text = "".join(clean(file.get((*path, "text"), str, "text")).split())
        if text:
            quad = (*path, "quad")
            box = bounding_box(
                [(file.number((*quad, f"x{corner}")), file.number((*quad, f"y{corner}"))) for corner in range(1, 5)]
            )
            fields = () if word.get("is_key") else (category,)
            yield word.get("row_id"), MarkedWord(Word(text, box), fields, where)


def _size(file: JsonFile) -> tuple[float, float] | None:
    meta = file.value.get("meta")
    if not isinstance(meta, dict) or "image_size" not in meta:
        return None
    return file.number(("meta", "image_size", "width")), file.number(("meta", "image_size", "height"))
