"""The layout of FUNSD: `annotations/NAME.json` and `images/NAME.png`, in folders of sides.

The fields are the labels of its entities, without `other`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.documents.formats.sides import folders_of_sides
from pytest_ibmodels.documents.images import image_size
from pytest_ibmodels.documents.json_files import JsonFile
from pytest_ibmodels.documents.pages import (
    SourceDocument,
    Value,
    Word,
    WordIndex,
    bounding_box,
    clean,
    make_page,
    rows_of,
)
from pytest_ibmodels.documents.text_files import files_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.documents.pages import Line, Side

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
    placed: list[tuple[Line, str, str]] = []
    for number in range(len(file.get(("form",), list, "a list of entities"))):
        entity = ("form", number)
        label = file.get((*entity, "label"), str, "text")
        words = list(_words(file, entity))
        placed += [(row, label, file.where(entity)) for row in rows_of(words)]
    placed.sort(key=lambda one: (one[0][0].box[1], one[0][0].box[0]))
    page = make_page([row for row, _, _ in placed], size)
    found: dict[str, list[tuple[WordIndex, Word, str]]] = {}
    for line, (row, label, where) in enumerate(placed):
        if label.lower() != _OTHER:
            at = [(WordIndex(0, line, index), word, where) for index, word in enumerate(row)]
            found.setdefault(label[:1].upper() + label[1:], []).extend(at)
    values = tuple(
        Value(field, " ".join(word.text for _, word, _ in at), at[0][2], tuple(index for index, _, _ in at))
        for field, at in found.items()
    )
    return SourceDocument(name, file.file, (page,), values, side)


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
