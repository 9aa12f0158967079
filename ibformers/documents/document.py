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
    """One word, with its location on the page and in the text of the document.

    Attributes:
        text: the word in the text of the document, equal to `document.text[start:end]`.
        raw: the word as the OCR engine read it; annotations refer to it.
        page: 0-based index into the document's pages.
        box: left, top, right, bottom, in page pixels.
        line: 0-based line of the text.
        index_in_line: 0-based index among the words of the line.
        start: first character in the document's text.
        end: one past the last character in the document's text.
        line_height: height of the text line, in page pixels.
        word_width: width of the word, in page pixels.
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
        name: path that the document was read from; also its id.
        text: texts of all records, joined by a line break.
        words: words in reading order.
        pages: pages of all records, in order.
    """

    name: str
    text: str
    words: tuple[Word, ...]
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class AnnotatedDocument:
    """One document of an Annotator project.

    Attributes:
        document: the OCR document; `document.name` is the resolved path.
        classes: class of each word: 0 is no field, 1 is the first field of the project.
        annotated: True if the document has annotations; `classes` is meaningless otherwise.
        is_test: True for a test file, which is not trained on.
        file_id: id of the document in the project.
    """

    document: Document
    classes: tuple[int, ...]
    annotated: bool
    is_test: bool
    file_id: str = ""
