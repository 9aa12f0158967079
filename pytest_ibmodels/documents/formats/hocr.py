"""hOCR: HTML with the boxes of words in `title` (http://kba.github.io/hocr-spec/1.2/). A file is a document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.pages import Box, Line, Page, SourceDocument, bounding_box, make_page, split_words
from pytest_ibmodels.documents.text_files import files_below
from pytest_ibmodels.documents.xml_files import Element, read_xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".hocr", ".html", ".htm", ".xhtml")

_LINES = frozenset({"ocr_line", "ocrx_line", "ocr_header", "ocr_footer", "ocr_caption", "ocr_textfloat"})
_BLOCKS = frozenset({"ocr_par", "ocr_carea", "ocrx_block", "ocr_page"})
_BOX = re.compile(r"(?:^|;)\s*bbox((?:\s+-?\d+(?:\.\d+)?){4})\s*(?:;|$)")


def read(folder: Path, _encoding: str) -> Iterator[SourceDocument]:
    """Read the files of a folder."""
    for file in files_below(folder, SUFFIXES):
        name = file.relative_to(folder).with_suffix("").as_posix()
        yield SourceDocument(name, file, tuple(_pages(read_xml(file), file)))


def _pages(root: Element, file: Path) -> Iterator[Page]:
    pages = [element for element in root.walk() if "ocr_page" in element.classes]
    if not pages:
        raise DocumentsError("no element has the class `ocr_page`: is this hOCR?", file, root.line)
    for page in pages:
        size = None
        if page.attributes.get("title") and "bbox" in page.attributes["title"]:
            size = _box(page, file)[2:]
        yield make_page(_lines(page, file), size)


def _lines(page: Element, file: Path) -> list[Line]:
    lines: dict[int, Line] = {}
    for element in page.walk():
        if _is_word(element) and (text := "".join(element.texts)).strip():
            owner = id(_line_of(element, page))
            lines[owner] = (*lines.get(owner, ()), *split_words(text, _box(element, file)))
    return list(lines.values())


def _is_word(element: Element) -> bool:
    """Return whether an element is a word, or a line of an engine that writes no words."""
    if "ocrx_word" in element.classes:
        return True
    if not _LINES.intersection(element.classes):
        return False
    return not any("ocrx_word" in inner.classes or _LINES.intersection(inner.classes) for inner in _inner(element))


def _inner(element: Element) -> Iterator[Element]:
    return (inner for inner in element.walk() if inner is not element)


def _line_of(word: Element, page: Element) -> Element:
    """Return the line around a word, or else the innermost block."""
    block = None
    element: Element | None = word
    while element is not None and element is not page:
        if _LINES.intersection(element.classes):
            return element
        if block is None and _BLOCKS.intersection(element.classes):
            block = element
        element = element.parent
    return block or page


def _box(element: Element, file: Path) -> Box:
    found = _BOX.search(element.attributes.get("title", ""))
    if found is None:
        what = "the page" if "ocr_page" in element.classes else f"the text {''.join(element.texts).strip()!r}"
        raise DocumentsError(f"{what} has no `bbox` of four numbers in its `title`", file, element.line)
    left, top, right, bottom = map(float, found[1].split())
    return bounding_box([(left, top), (right, bottom)])
