"""Reads OCR documents (`.ibocr`, `.ibdoc`) in their JSON form, a list of records."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ibformers.documents.document import Document, Page, Word
from ibformers.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


def parse_document(data: bytes | str, name: str) -> Document:
    """Read the JSON form of an OCR document.

    Several records are joined: their texts by a line break, their pages and words in order. Of a document with one
    record, the character offsets of the words are therefore offsets into the text of that record.

    Args:
        data: the file: a JSON list of records.
        name: the document's path, for messages and as its id.

    Raises:
        DocumentError: the file has not that form, or the words are not those of the text.
    """
    text = ""
    words: list[Word] = []
    pages: list[Page] = []
    line_count = 0
    for number, record in enumerate(_records(data, name)):
        where = f"{name}, record {number}"
        record_text = record.get("text")
        if not isinstance(record_text, str):
            raise DocumentError(f"{where}: 'text' must be a string.")
        if number:
            text += "\n"
        lines = _lines(record, record_text, where)
        layouts = _pages(record, where)
        words.extend(
            replace(
                word,
                page=word.page + len(pages),
                line=word.line + line_count,
                start=word.start + len(text),
                end=word.end + len(text),
            )
            for word in _words(lines, record_text, layouts, where)
        )
        text += record_text
        pages.extend(layouts)
        line_count += max(len(lines), 1)
    return Document(name, text, tuple(words), tuple(pages))


def _records(data: bytes | str, name: str) -> list[Json]:
    try:
        records = json.loads(data)
    except (UnicodeDecodeError, ValueError) as error:
        raise DocumentError(f"{name} is not an OCR document in JSON form: {error}.") from None
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise DocumentError(f"{name} is not an OCR document: a non-empty JSON list of records is expected.")
    return records


def _lines(record: Json, text: str, where: str) -> list[list[Any]]:
    lines = record.get("lines")
    if not isinstance(lines, list) or not all(isinstance(line, list) for line in lines):
        raise DocumentError(f"{where}: 'lines' must be a list of lists of words.")
    if not lines and not text:
        return []
    if len(lines) != text.count("\n") + 1:
        raise DocumentError(f"{where}: the text has {text.count(chr(10)) + 1} lines, but 'lines' has {len(lines)}.")
    return lines


def _pages(record: Json, where: str) -> list[Page]:
    pages = []
    layouts = record.get("metadata_list")
    if not isinstance(layouts, list):
        raise DocumentError(f"{where}: 'metadata_list' must be a list with one layout for each page.")
    for number, metadata in enumerate(layouts):
        layout = metadata.get("layout") if isinstance(metadata, dict) else None
        if not isinstance(layout, dict):
            raise DocumentError(f"{where}: metadata_list[{number}] has no 'layout'.")
        width = _number(layout, "width", f"{where}, layout of page {number}")
        height = _number(layout, "height", f"{where}, layout of page {number}")
        if width <= 0 or height <= 0:
            raise DocumentError(f"{where}: page {number} has the size {width:g} x {height:g}; it must be above zero.")
        pages.append(Page(width, height))
    return pages


def _words(lines: list[list[Any]], text: str, pages: list[Page], where: str) -> Iterator[Word]:
    line_start = 0
    for line_number, (line, line_text) in enumerate(zip(lines, text.split("\n"), strict=False)):
        position = 0
        for index, item in enumerate(line):
            spot = f"{where}, line {line_number}, word {index}"
            if not isinstance(item, dict) or not isinstance(item.get("word"), str) or not item["word"].strip():
                raise DocumentError(f"{spot}: a word must be an object whose 'word' is text that is not blank.")
            found = line_text.find(item["word"], position)
            if found < 0:
                raise DocumentError(
                    f"{spot}: {item['word']!r} is not in its line of the text at or after character {position}."
                )
            position = found + len(item["word"])
            yield _word(item, pages, spot, (line_number, index), (line_start + found, line_start + position))
        line_start += len(line_text) + 1


def _word(item: Json, pages: list[Page], where: str, place: tuple[int, int], span: tuple[int, int]) -> Word:
    page = item.get("page")
    if isinstance(page, bool) or not isinstance(page, int) or not 0 <= page < len(pages):
        raise DocumentError(
            f"{where}: 'page' is {page!r}, but the record has {len(pages)} page layouts, counted from 0."
        )
    left, top, right, bottom = (_number(item, key, where) for key in ("start_x", "start_y", "end_x", "end_y"))
    raw = item.get("raw_word")
    return Word(
        text=item["word"],
        raw=raw if isinstance(raw, str) else item["word"],
        page=page,
        box=(left, top, right, bottom),
        line=place[0],
        index_in_line=place[1],
        start=span[0],
        end=span[1],
        line_height=_number(item, "line_height", where, default=bottom - top),
        word_width=_number(item, "word_width", where, default=right - left),
    )


def _number(item: Json, key: str, where: str, default: float | None = None) -> float:
    value = item.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DocumentError(f"{where}: {key!r} must be a number, not {value!r}.")
    return float(value)
