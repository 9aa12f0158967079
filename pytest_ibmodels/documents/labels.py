"""Label files: which text of a document is the value of which field.

A CSV file has the columns document, field and text, and optionally page and occurrence. A JSON file is an object,
document -> field -> text or list of texts, or a list of objects with the keys of those columns.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.json_files import JsonFile
from pytest_ibmodels.documents.pages import SourceDocument, Value
from pytest_ibmodels.documents.text_files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

COLUMNS = ("document", "field", "text")
OPTIONAL = ("page", "occurrence")
LAST = "last"

_Row = tuple[dict[str, str], str]
"""Cells by column, and file and line."""


def add_labels(documents: Sequence[SourceDocument], file: Path, encoding: str) -> list[SourceDocument]:
    """Return the documents with the values that a label file has for them.

    Raises:
        DocumentsError: The file is invalid, or names a document that is not there.
    """
    rows = _json_rows(JsonFile(file, encoding)) if file.suffix.lower() == ".json" else _csv_rows(file, encoding)
    known = _known_names(documents)
    values: dict[str, list[Value]] = {}
    for cells, where in rows:
        values.setdefault(_document_of(cells["document"], known, where), []).append(_value(cells, where))
    if not values:
        raise DocumentsError("the file has no labels", file)
    return [replace(document, values=(*document.values, *values.get(document.name, ()))) for document in documents]


def _known_names(documents: Sequence[SourceDocument]) -> dict[str, str | None]:
    """Return names of documents by the names that labels may use; None marks a name that means several."""
    known: dict[str, str | None] = {}
    for document in documents:
        known[document.name] = document.name
    for document in documents:
        folder = document.name.rpartition("/")[0]
        full = f"{folder}/{document.file.name}" if folder else document.file.name
        last = document.name.rpartition("/")[2]
        for name in {full, document.file.name, last} - {document.name}:
            known[name] = document.name if known.get(name, document.name) == document.name else None
    return known


def _document_of(name: str, known: dict[str, str | None], where: str) -> str:
    found = known.get(name)
    if found is not None:
        return found
    if name in known:
        raise DocumentsError(f"{where}: several documents are called {name!r}; write the folder, too")
    close = get_close_matches(name, [one for one, meant in known.items() if meant], n=1)
    advice = f": did you mean {close[0]!r}?" if close else "; write the name of its file, without the suffix"
    raise DocumentsError(f"{where}: the source has no document {name!r}{advice}")


def _value(cells: dict[str, str], where: str) -> Value:
    field, text = cells["field"].strip(), " ".join(cells["text"].split())
    page = None if not cells.get("page") else _count(cells["page"], where, "page") - 1
    occurrence = cells.get("occurrence") or ""
    if not occurrence:
        return Value(field, text, where, page=page, beside=field)
    index = -1 if occurrence == LAST else _count(occurrence, where, "occurrence") - 1
    return Value(field, text, where, page=page, occurrence=index)


def _count(text: str, where: str, column: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 99_999_999:
        also = f" or `{LAST}`" if column == "occurrence" else ""
        raise DocumentsError(f"{where}: {column} must be a whole number from 1{also}, not {text!r}")
    return int(text[:9])


def _csv_rows(file: Path, encoding: str) -> Iterator[_Row]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(read_text(file, encoding)), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        unknown = [name for name in header if name not in COLUMNS + OPTIONAL]
        if unknown or not set(COLUMNS) <= set(header) or len(set(header)) != len(header):
            raise DocumentsError(
                f"the first line must be the header {','.join(COLUMNS)}, with {' and '.join(OPTIONAL)} if needed, "
                f"not {','.join(header)[:60]!r}",
                file,
                1,
            )
        first = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                raise DocumentsError(
                    f"{len(row)} values where the header names {len(header)}; a text with a comma needs quotes",
                    file,
                    first,
                )
            if row:
                yield {name: cell.strip() for name, cell in zip(header, row, strict=True)}, f"{file}:{first}"
            first = reader.line_num + 1
    except csv.Error as error:
        raise DocumentsError(f"the file is not valid CSV: {error}", file, reader.line_num) from None


def _json_rows(file: JsonFile) -> Iterator[_Row]:
    if isinstance(file.value, list):
        for number in range(len(file.value)):
            row = file.get((number,), dict, "an object with document, field and text")
            for key in row:
                if key not in COLUMNS + OPTIONAL:
                    raise file.error((number, key), f"is unknown; known are {', '.join(COLUMNS + OPTIONAL)}")
            cells = {key: file.get((number, key), str, "text") for key in COLUMNS}
            cells |= {key: str(file.get((number, key), object, "")) for key in OPTIONAL if row.get(key) is not None}
            yield cells, file.where((number,))
        return
    for document in file.get((), dict, "an object of documents, or a list of objects"):
        for field, text in file.get((document,), dict, "an object of fields").items():
            for one in _texts(file, document, field, text):
                yield {"document": document, "field": field, "text": one}, file.where((document, field))


def _texts(file: JsonFile, document: str, field: str, value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise file.error((document, field), "must be a text or a list of texts")
    return texts
