"""The layout of FUNSD: `annotations/NAME.json` and `images/NAME.png`, in folders of sides.

The fields are the labels of its entities, without `other`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.documents.formats.placing import MarkedWord, marked_values
from pytest_ibmodels.documents.formats.sides import folders_of_sides
from pytest_ibmodels.documents.images import image_size
from pytest_ibmodels.documents.json_files import JsonFile
from pytest_ibmodels.documents.pages import (
    SourceDocument,
    Word,
    bounding_box,
    clean,
    make_page,
    rows_of,
)
from pytest_ibmodels.documents.text_files import files_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.documents.pages import Side

ANNOTATIONS = "annotations"

_OTHER = "other"


def read(folder: Path, encoding: str) -> Iterator[SourceDocument]:
    """Read the files of a folder."""
    for side, base in folders_of_sides(folder, ANNOTATIONS):
        prefix = "" if base == folder else f"{base.name}/"
        for file in files_below(base / ANNOTATIONS, (".json",)):
            size = image_size(base / "images", file.stem)
            yield _document(prefix + file.stem, JsonFile(file, encoding), size, side)


def _document(name: str, file: JsonFile, size: tuple[float, float] | None, side: Side | None) -> SourceDocument:
    marked: list[MarkedWord] = []
    for number in range(len(file.get(("form",), list, "a list of entities"))):
        entity = ("form", number)
        label = file.get((*entity, "label"), str, "text")
        fields = () if label.lower() == _OTHER else (label[:1].upper() + label[1:],)
        where = file.where(entity)
        marked += [MarkedWord(word, fields, where) for word in _words(file, entity)]
    lines = rows_of(one.word for one in marked)
    return SourceDocument(name, file.file, (make_page(lines, size),), marked_values([lines], marked), side)


def _words(file: JsonFile, entity: tuple[str | int, ...]) -> Iterator[Word]:
    for number in range(len(file.get((*entity, "words"), list, "a list of words"))):
        path = (*entity, "words", number)
        text = "".join(clean(file.get((*path, "text"), str, "text")).split())
        if text:
            sides = len(file.get((*path, "box"), list, "a list of four numbers"))
            if sides != 4:
                raise file.error((*path, "box"), f"must be a list of four numbers, not of {sides}")
            left, top, right, bottom = (file.number((*path, "box", index)) for index in range(4))
            yield Word(text, bounding_box([(left, top), (right, bottom)]))
