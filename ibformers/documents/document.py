"""Documents as readers produce them and tasks consume them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """Size of a page, in the pixels that word boxes are measured in."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Word:
    """One word, where it stands on its page and where it stands in the document's text.

    Attributes:
        text: the word as it stands in the text: `document.text[start:end]`, by construction.
        raw: the word as the OCR engine read it; annotations refer to words by it.
        page: 0-based index into the document's pages.
        box: left, top, right, bottom, in page pixels.
        line: 0-based line of the text.
        index_in_line: 0-based place among the words of the line.
        start: first character in the document's text.
        end: one past the last character in the document's text.
        line_height: of the text line, in page pixels.
        word_width: in page pixels.
    """

    text: str
    raw: str
    page: int
    box: tuple[float, float, float, float]
    line: int
    index_in_line: int
    start: int
    end: int
    line_height: float
    word_width: float


@dataclass(frozen=True, slots=True)
class Document:
    """An OCR document: its text, and the text's words in reading order.

    Attributes:
        name: the path it was read from, which is also its id.
        text: the texts of its records, joined by a line break.
        words: in reading order.
        pages: the pages of all records, in order.
    """

    name: str
    text: str
    words: tuple[Word, ...]
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class AnnotatedDocument:
    """A document of a project.

    Attributes:
        document: what was read from the resolved path, which is `document.name`.
        classes: for each word the class of its field: 0 is none, 1 the project's first field.
        annotated: whether somebody annotated it at all; if not, `classes` says nothing.
        is_test: whether the project keeps it out of training.
        file_id: its id in the project.
    """

    document: Document
    classes: tuple[int, ...]
    annotated: bool
    is_test: bool
    file_id: str = ""
