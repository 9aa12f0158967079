"""Formats of sources, and the recognition of the format of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.formats import alto, cord, funsd, hocr, label_studio, sroie, tsv
from pytest_ibmodels.documents.formats.sides import folders_of_sides
from pytest_ibmodels.documents.text_files import files_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_ibmodels.documents.pages import SourceDocument


@dataclass(frozen=True, slots=True)
class Format:
    """A format of sources.

    Attributes:
        read: reader of a source: folder or file, and the encoding of its texts.
        holds: whether a folder looks like this format.
        needs: what a source of this format consists of, for messages.
        has_values: True if the source says which fields its documents have; others need a label file.
        takes_file: True if the source may be a single file.
    """

    read: Callable[[Path, str], Iterator[SourceDocument]]
    holds: Callable[[Path], bool]
    needs: str
    has_values: bool = False
    takes_file: bool = False


def _has_files(suffixes: tuple[str, ...]) -> Callable[[Path], bool]:
    return lambda folder: bool(files_below(folder, suffixes))


def _has_folders(name: str, suffixes: tuple[str, ...]) -> Callable[[Path], bool]:
    return lambda folder: any(files_below(base / name, suffixes) for _, base in folders_of_sides(folder, name))


FORMATS = {
    "sroie": Format(
        sroie.read, _has_folders(sroie.BOXES, (".csv", ".txt")), "box/*.csv and key/*.json", has_values=True
    ),
    "funsd": Format(funsd.read, _has_folders(funsd.ANNOTATIONS, (".json",)), "annotations/*.json", has_values=True),
    "cord": Format(cord.read, _has_folders(cord.DOCUMENTS, (".json",)), "json/*.json", has_values=True),
    "hocr": Format(hocr.read, _has_files(hocr.SUFFIXES), "*.hocr or *.html"),
    "alto": Format(alto.read, _has_files(alto.SUFFIXES), "*.xml or *.alto"),
    "tsv": Format(tsv.read, _has_files(tsv.SUFFIXES), "*.tsv"),
    "label-studio": Format(
        label_studio.read, _has_files((".json",)), "an export *.json", has_values=True, takes_file=True
    ),
}
"""Formats by name. The first three are recognised by their folders, which may hold files of the others."""

_BY_FOLDERS = ("sroie", "funsd", "cord")


def recognise(source: Path) -> str:
    """Return the name of the format of a source.

    Raises:
        DocumentsError: The source is not there, looks like no format, or like several.
    """
    if source.is_file() and source.suffix.lower() == ".json":
        return "label-studio"
    _check_folder(source)
    found = [name for name in _BY_FOLDERS if FORMATS[name].holds(source)]
    found = found or [name for name in FORMATS if name not in _BY_FOLDERS and FORMATS[name].holds(source)]
    if len(found) != 1:
        looks = f"looks like {' and '.join(found)}" if found else "looks like no known format"
        known = ", ".join(f"{name} ({one.needs})" for name, one in FORMATS.items() if not found or name in found)
        raise DocumentsError(f"the source {looks}; name it with --format: {known}", source)
    return found[0]


def read_source(source: Path, name: str, encoding: str) -> list[SourceDocument]:
    """Read all documents of a source.

    Raises:
        DocumentsError: A file of the source is invalid, or there is none.
    """
    chosen = FORMATS[name]
    if not (chosen.takes_file and source.is_file()):
        _check_folder(source)
    documents = list(chosen.read(source, encoding))
    if not documents:
        raise DocumentsError(f"the source holds no document in the format {name}: {chosen.needs}", source)
    names: dict[str, SourceDocument] = {}
    for document in documents:
        other = names.setdefault(document.name, document)
        if other is not document:
            raise DocumentsError(f"has the name of the document {other.file}; rename one of them", document.file)
    return documents


def _check_folder(source: Path) -> None:
    if not source.exists():
        raise DocumentsError("the source is not there", source)
    if not source.is_dir():
        raise DocumentsError("the source must be a folder, or an export of Label Studio (*.json)", source)
