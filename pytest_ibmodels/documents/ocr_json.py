"""Reader of OCR documents in their JSON form, with the rules of docs/protocol.md, "OCR documents"."""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

NEAR = 0.001
"""Tolerance of the place of an annotated word, as a fraction of the page's width or height."""


class OcrError(Exception):
    """The file is no valid OCR document. The message names record, line and word, each from 0."""


class OcrWord(NamedTuple):
    """One word: its raw text, its page, and left, top, right and bottom of its box."""

    raw: str
    page: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class OcrDocument:
    """Words of all records, in reading order, and width and height of all pages."""

    words: tuple[OcrWord, ...]
    pages: tuple[tuple[float, float], ...]

    def find(self, raw: str, page: int, left: float, top: float) -> int | None:
        """Return the index of the word with this text at this place, or of the nearest one within `NEAR`."""
        near = []
        for index in self._by_text.get((page, _nfc(raw)), ()):
            word = self.words[index]
            across, down = abs(word.box[0] - left), abs(word.box[1] - top)
            width, height = self.pages[page]
            if across <= NEAR * width and down <= NEAR * height:
                near.append((math.hypot(across, down), index))
        return min(near)[1] if near else None

    @cached_property
    def text_key(self) -> tuple[str, ...]:
        """Words alone, which are equal for a document that was scanned twice or moved a little."""
        return tuple(_nfc(word.raw) for word in self.words)

    @cached_property
    def content_key(self) -> tuple[object, ...]:
        """Words with their boxes, to a tenth of a pixel."""
        return tuple((_nfc(word.raw), word.page, *(f"{side:.1f}" for side in word.box)) for word in self.words)

    @cached_property
    def _by_text(self) -> dict[tuple[int, str], list[int]]:
        found: dict[tuple[int, str], list[int]] = {}
        for index, word in enumerate(self.words):
            found.setdefault((word.page, _nfc(word.raw)), []).append(index)
        return found


def parse_ocr(data: bytes) -> OcrDocument:
    """Read an OCR document.

    Raises:
        OcrError: The data is no such document, or training could not read it.
    """
    try:
        records = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise OcrError(f"it is not JSON ({error}); binary documents of newer environments cannot be read") from None
    if not isinstance(records, list) or not records or not all(isinstance(one, dict) for one in records):
        raise OcrError("it must be a list of records that is not empty")
    words: list[OcrWord] = []
    pages: list[tuple[float, float]] = []
    for number, record in enumerate(records):
        where = f"record {number}"
        sizes = _sizes(record, where)
        words += _words(record, len(sizes), len(pages), where)
        pages += sizes
    return OcrDocument(tuple(words), tuple(pages))


def _sizes(record: dict[str, Any], where: str) -> list[tuple[float, float]]:
    layouts = record.get("metadata_list")
    if not isinstance(layouts, list):
        raise OcrError(f"{where}: `metadata_list` must be a list with one object per page")
    sizes = []
    for number, metadata in enumerate(layouts):
        layout = metadata.get("layout") if isinstance(metadata, dict) else None
        if not isinstance(layout, dict):
            raise OcrError(f"{where}: metadata_list[{number}] has no `layout`")
        here = f"{where}, page {number}"
        size = _number(layout, "width", here), _number(layout, "height", here)
        if min(size) <= 0:
            raise OcrError(f"{here}: width and height must be above 0, not {size[0]:g} and {size[1]:g}")
        sizes.append(size)
    return sizes


def _words(record: dict[str, Any], page_count: int, first_page: int, where: str) -> list[OcrWord]:
    text, lines = record.get("text"), record.get("lines")
    if not isinstance(text, str) or not isinstance(lines, list) or not all(isinstance(line, list) for line in lines):
        raise OcrError(f"{where}: `text` must be text, and `lines` a list of lists of words")
    texts = text.split("\n") if text or lines else []
    if len(texts) != len(lines):
        raise OcrError(f"{where}: `text` has {len(texts)} lines, and `lines` has {len(lines)}")
    words = []
    for line_number, (line, line_text) in enumerate(zip(lines, texts, strict=True)):
        rest = _nfc(line_text)
        for index, item in enumerate(line):
            here = f"{where}, line {line_number}, word {index}"
            word = item.get("word") if isinstance(item, dict) else None
            if not isinstance(word, str) or not word.strip() or not isinstance(item.get("raw_word", ""), str):
                raise OcrError(f"{here}: `word` must be text that is not blank, and `raw_word` text")
            _, found, rest = rest.partition(_nfc(word))
            if not found:
                raise OcrError(f"{here}: {word!r} is not in its line of `text`, after the words before it")
            words.append(_word(item, word, page_count, first_page, here))
    return words


def _word(item: dict[str, Any], word: str, page_count: int, first_page: int, where: str) -> OcrWord:
    page = item.get("page")
    if isinstance(page, bool) or not isinstance(page, int) or not 0 <= page < page_count:
        raise OcrError(f"{where}: `page` is {page!r}, and the record has {page_count} pages, counted from 0")
    left, top, right, bottom = (_number(item, key, where) for key in ("start_x", "start_y", "end_x", "end_y"))
    for key in ("line_height", "word_width"):
        if key in item:
            _number(item, key, where)
    return OcrWord(item.get("raw_word") or word, first_page + page, (left, top, right, bottom))


def _number(item: dict[str, Any], key: str, where: str) -> float:
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OcrError(f"{where}: `{key}` must be a number, not {value!r}")
    return float(value)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
