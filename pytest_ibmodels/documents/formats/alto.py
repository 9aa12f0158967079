"""ALTO XML, versions 2 to 4 (https://www.loc.gov/standards/alto/). A file is a document."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.pages import Box, Line, Page, SourceDocument, Word, make_page, split_words
from pytest_ibmodels.documents.text_files import files_below
from pytest_ibmodels.documents.xml_files import Element, read_xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".xml", ".alto")


def read(folder: Path, _encoding: str) -> Iterator[SourceDocument]:
    """Read the files of a folder."""
    for file in files_below(folder, SUFFIXES):
        name = file.relative_to(folder).with_suffix("").as_posix()
        yield SourceDocument(name, file, tuple(_pages(read_xml(file), file)))


def _pages(root: Element, file: Path) -> Iterator[Page]:
    pages = [element for element in root.walk() if element.name == "Page"]
    if root.name != "alto" or not pages:
        raise DocumentsError(f"the root is <{root.name}> with {len(pages)} <Page>: is this ALTO?", file, root.line)
    for page in pages:
        # Words and page have the same unit, whatever MeasurementUnit says.
        size = None
        for element in (page, *(child for child in page.children if child.name == "PrintSpace")):
            if size is None and {"WIDTH", "HEIGHT"} <= element.attributes.keys():
                size = _number(element, "WIDTH", file), _number(element, "HEIGHT", file)
        lines = [_line(element, file) for element in page.walk() if element.name == "TextLine"]
        yield make_page(lines, size)


def _line(element: Element, file: Path) -> Line:
    words: list[Word] = []
    for child in element.children:
        content = child.attributes.get("CONTENT", "")
        if child.name == "HYP" and words and content.strip():
            if not words[-1].text.endswith(content.strip()):
                words[-1] = Word(words[-1].text + content.strip(), words[-1].box)
        elif child.name == "String" and content.strip():
            words.extend(split_words(content, _box(child, file)))
    return tuple(words)


def _box(element: Element, file: Path) -> Box:
    left, top, width, height = (_number(element, name, file) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    return left, top, left + width, top + height


def _number(element: Element, name: str, file: Path) -> float:
    text = element.attributes.get(name)
    try:
        number = float("" if text is None else text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (number < 0 and name in ("WIDTH", "HEIGHT")):
        content = f" with the content {element.attributes['CONTENT']!r}" if "CONTENT" in element.attributes else ""
        problem = f"has no {name}" if text is None else f"has {name}={text!r}, which must be a number"
        raise DocumentsError(f"<{element.name}>{content} {problem}", file, element.line)
    return number
