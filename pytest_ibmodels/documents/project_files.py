"""Writer of Annotator projects: the `.ibannotator` file and the `.ibocr` files beside it, all or nothing."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.documents.errors import DocumentsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ibmodels.documents.pages import SourceDocument, Word, WordIndex

SUFFIX = ".ibannotator"
DOCUMENTS = "out/s2_map_records"
"""Folder of the documents in the input folder; with the input folder and the name, a path has four parts."""

_LONGEST_NAME = 150
_UNSAFE = re.compile(r"[^\w .()+@=,-]")


@dataclass(frozen=True, slots=True)
class Annotation:
    """Words of one field in one document; none says that the document lacks the field."""

    text: str
    words: tuple[WordIndex, ...]


@dataclass(frozen=True, slots=True)
class AnnotatedSource:
    """A document with its annotations by field, and whether it is a test document."""

    document: SourceDocument
    annotations: Mapping[str, Annotation]
    is_test: bool


def write_project(target: Path, fields: Sequence[str], items: Sequence[AnnotatedSource], *, replace: bool) -> None:
    """Write a project: `NAME.ibannotator`, and the documents in `NAME_input/out/s2_map_records`.

    Both are written beside their places and renamed at the end, so that a failure leaves everything as it was.

    Raises:
        DocumentsError: The project is there already, or cannot be written.
    """
    folder = target.with_name(f"{target.name.removesuffix(SUFFIX)}_input")
    for path in (target, folder):
        if path.exists() and not replace:
            raise DocumentsError("is there already; choose another name, or replace it with --replace", path)
    if target.is_dir() or (folder.exists() and not folder.is_dir()):
        raise DocumentsError("is no project that could be replaced", target if target.is_dir() else folder)
    made = _missing_parents(target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ibmodels-", dir=target.parent) as work:
            _write_files(Path(work), folder.name, fields, items)
            _move_in(Path(work), target, folder)
    except OSError as error:
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise DocumentsError(f"the project cannot be written ({error.strerror or error})", target) from None


def _missing_parents(folder: Path) -> list[Path]:
    return [parent for parent in (folder, *folder.parents) if not parent.exists()]


def _write_files(work: Path, input_name: str, fields: Sequence[str], items: Sequence[AnnotatedSource]) -> None:
    documents = work / "input" / DOCUMENTS
    documents.mkdir(parents=True)
    ids = {field: f"L{number}" for number, field in enumerate(fields, start=1)}
    names = file_names([item.document.name for item in items])
    files = []
    for item, name in zip(items, names, strict=True):
        _write_json(documents / name, [_record(item.document)])
        files.append(
            {
                "id": item.document.name,
                "inputPath": f"{input_name}/{name.removesuffix('.ibocr')}",
                "ocrPath": f"{input_name}/{DOCUMENTS}/{name}",
                "isInputOcr": False,
                "pages": {
                    str(number): {"width": page.width, "height": page.height}
                    for number, page in enumerate(item.document.pages)
                },
                "annotations": {
                    ids[field]: _annotation(item.document, annotation) for field, annotation in item.annotations.items()
                },
            }
        )
    project = {
        "labels": [{"id": number, "name": field, "type": "Text"} for field, number in ids.items()],
        "files": files,
        "testFiles": [item.document.name for item in items if item.is_test],
    }
    _write_json(work / "project", project, indent=1)


def _write_json(file: Path, value: Any, indent: int | None = None) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n", encoding="utf-8")


def _move_in(work: Path, target: Path, folder: Path) -> None:
    """Rename the new files to their places; the old ones return if that fails."""
    old = work / "old"
    had_folder = folder.exists()
    if had_folder:
        folder.rename(old)
    try:
        (work / "input").rename(folder)
        (work / "project").replace(target)
    except OSError:
        if folder.exists():
            shutil.rmtree(folder)
        if had_folder:
            old.rename(folder)
        raise


def file_names(names: Sequence[str]) -> list[str]:
    """Return a file name for each document: one part of a path, distinct also where case does not count."""
    used: set[str] = set()
    made = []
    for name in names:
        plain = _UNSAFE.sub("_", unicodedata.normalize("NFC", name.replace("/", "_"))).strip(". ") or "document"
        plain = plain.encode()[:_LONGEST_NAME].decode(errors="ignore").strip(". ")
        unique, number = plain, 1
        while unique.casefold() in used:
            number += 1
            unique = f"{plain}_{number}"
        used.add(unique.casefold())
        made.append(f"{unique}.ibocr")
    return made


def _record(document: SourceDocument) -> dict[str, Any]:
    return {
        "text": "\n".join(" ".join(word.text for word in line) for _, line in document.lines),
        "lines": [[_word(word, place.page) for word in line] for place, line in document.lines],
        "metadata_list": [{"layout": {"width": page.width, "height": page.height}} for page in document.pages],
    }


def _word(word: Word, page: int) -> dict[str, Any]:
    left, top, right, bottom = word.box
    return {
        "word": word.text,
        "raw_word": word.text,
        "page": page,
        "start_x": left,
        "end_x": right,
        "start_y": top,
        "end_y": bottom,
        "line_height": bottom - top,
        "word_width": right - left,
        "char_width": round((right - left) / len(word.text), 2),
    }


def _annotation(document: SourceDocument, annotation: Annotation) -> dict[str, Any]:
    metadata = []
    for index in annotation.words:
        word = document.word(index)
        left, top, right, bottom = word.box
        rect = {"x": left, "y": top, "w": right - left, "h": bottom - top}
        position = {"page": index.page, "rect": rect}
        metadata.append({"dataType": "WordPoly", "type": "rect", "rawWord": word.text, "position": position})
    return {"value": annotation.text, "metadata": metadata}
