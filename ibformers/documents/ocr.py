"""Reader of OCR documents (`.ibocr`, `.ibdoc`) in their JSON form, a list of records."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ibformers.documents.document import Document, Page, Word
from ibformers.documents.text_search import LineText
from ibformers.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

SHOWN_CHARACTERS = 60
"""Maximum number of characters of a line that a message shows."""


class _Offsets(NamedTuple):
    """Numbers of pages, lines and characters before a record."""

    page: int
    line: int
    character: int


def parse_document(data: bytes | str, name: str) -> Document:
    """Read the JSON form of an OCR document.

    Several records are joined: texts by a line break, pages and words in order. In a document with one record, the
    character offsets of words are offsets into the text of that record.

    Args:
        data: content of the file, a JSON list of records.
        name: path of the document, used in messages and as its id.

    Raises:
        DocumentError: The file does not have this form, or its words do not match its text.
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
        before = _Offsets(page=len(pages), line=line_count, character=len(text))
        lines = _lines(record, record_text, where)
        layouts = _pages(record, where)
        words.extend(_words(lines, record_text, len(layouts), before, where))
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
    layouts = record.get("metadata_list")
    if not isinstance(layouts, list):
        raise DocumentError(f"{where}: 'metadata_list' must be a list with one layout for each page.")
    pages = []
    for number, metadata in enumerate(layouts):
        layout = metadata.get("layout") if isinstance(metadata, dict) else None
        if not isinstance(layout, dict):
            raise DocumentError(f"{where}: metadata_list[{number}] has no 'layout'.")
        try:
            page = Page(_number(layout, "width"), _number(layout, "height"))
        except DocumentError as error:
            raise DocumentError(f"{where}: layout of page {number}: {error}.") from None
        if page.width <= 0 or page.height <= 0:
            raise DocumentError(
                f"{where}: page {number} is {page.width:g} wide and {page.height:g} high; it must be larger."
            )
        pages.append(page)
    return pages


def _words(lines: list[list[Any]], text: str, page_count: int, before: _Offsets, where: str) -> Iterator[Word]:
    line_start = before.character
    for line_number, (line, line_text) in enumerate(zip(lines, text.split("\n"), strict=False)):
        searched = LineText(line_text)
        position = 0
        for index, item in enumerate(line):
            try:
                word = _text(item)
                found, position = _find(word, searched, position)
                left, top = _number(item, "start_x"), _number(item, "start_y")
                right, bottom = _number(item, "end_x"), _number(item, "end_y")
                yield Word(
                    # The word may be in another Unicode form than the text, so take it from the text.
                    text=line_text[found:position],
                    raw=item.get("raw_word") or word,
                    page=before.page + _page_index(item, page_count),
                    box=(left, top, right, bottom),
                    line=before.line + line_number,
                    index_in_line=index,
                    start=line_start + found,
                    end=line_start + position,
                    line_height=_number(item, "line_height", bottom - top),
                    word_width=_number(item, "word_width", right - left),
                )
            except DocumentError as error:
                raise DocumentError(f"{where}, line {line_number}, word {index}: {error}.") from None
        line_start += len(line_text) + 1


def _text(item: Any) -> str:
    if not isinstance(item, dict) or not isinstance(item.get("word"), str) or not item["word"].strip():
        raise DocumentError("a word must be an object whose 'word' is text that is not blank")
    if not isinstance(item.get("raw_word", ""), str):
        raise DocumentError(f"'raw_word' must be text, not {item['raw_word']!r}")
    word: str = item["word"]
    return word


def _find(word: str, line: LineText, position: int) -> tuple[int, int]:
    found = line.find(word, position)
    if found is None:
        rest = line.line[position : position + SHOWN_CHARACTERS]
        raise DocumentError(
            f"{word!r} is not in its line of the text at or after character {position}, where it reads {rest!r}"
        )
    return found


def _page_index(item: Json, count: int) -> int:
    page = item.get("page")
    if isinstance(page, bool) or not isinstance(page, int) or not 0 <= page < count:
        raise DocumentError(f"'page' is {page!r}, but the record has {count} page layouts, counted from 0")
    return page


def _number(item: Json, key: str, default: float | None = None) -> float:
    value = item.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DocumentError(f"{key!r} must be a number, not {value!r}")
    return float(value)
