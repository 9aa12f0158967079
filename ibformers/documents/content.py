"""Tells equal documents of a project apart from different ones: by path, and by what the model reads of them."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from itertools import combinations
from typing import TYPE_CHECKING

from ibformers.errors import TrainingInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ibformers.documents.document import AnnotatedDocument, Document

SHOWN_PAIRS = 5
"""Most pairs of equal documents that a message names."""

Pair = tuple["AnnotatedDocument", "AnnotatedDocument"]

logger = logging.getLogger(__name__)


def content_key(document: Document) -> str:
    """Hash what a model reads of a document: its words with their pages and boxes, 16 hex digits.

    Files that differ in their bytes alone have the same key: in the order of JSON keys, in white space, in Unicode
    normalisation, in the path. Boxes count to a tenth of a pixel.
    """
    return _hash(f"{_normalised(word.text)}\t{word.page}\t{_places(word.box)}" for word in document.words)


def fingerprint(documents: Iterable[Document]) -> str:
    """Name a set of documents by 16 hex digits: the same for the same contents, in whatever order and whatever path."""
    keys = sorted(content_key(document) for document in documents)
    return _hash([str(len(keys)), *keys])


def check_distinct(documents: Sequence[AnnotatedDocument], path: str) -> None:
    """Refuse a project that has a document twice, as its metrics would be wrong or of a document that was learned.

    By path this holds for every file of the project. By content (see `content_key`) it holds unless both are files that
    are neither trained on nor tested on, or documents without words; the former are named in the log. So are test
    documents that differ from a training document in the places of their words only.

    Args:
        documents: of the project, in its order.
        path: of the project, for messages.

    Raises:
        TrainingInputError: names both files of each pair.
    """
    same_path = _pairs(documents, lambda item: item.document.name)
    if same_path:
        raise TrainingInputError(
            f"{path} names a document twice: {_listed(same_path, same_path=True)}. "
            "Keep one entry of each document, or none of its results can be told from the other's."
        )
    same_content = _pairs([item for item in documents if item.document.words], lambda item: content_key(item.document))
    refused = [pair for pair in same_content if any(item.annotated or item.is_test for item in pair)]
    if refused:
        raise TrainingInputError(
            f"{path} has a document twice under two names: {_listed(refused)}. Their words and boxes are equal. "
            "Keep one of each: a copy among the test documents is no unseen document, and counts double."
        )
    for pair in same_content:
        logger.info("%s: equal documents, neither of them annotated: %s", path, _named(*pair))
    for pair in _pairs([item for item in documents if item.document.words], lambda item: _text_key(item.document)):
        if {item.is_test for item in pair} == {True, False} and all(item.annotated for item in pair):
            logger.warning(
                "%s: a test document has the very words of a training document, in other places: %s; "
                "if it is the same document, keep one of them.",
                path, _named(*pair),
            )  # fmt: skip


def repeated_texts(documents: Sequence[AnnotatedDocument]) -> int:
    """Count the documents that have the very words of an earlier one, wherever these stand on the page."""
    keys = [_text_key(item.document) for item in documents if item.document.words]
    return len(keys) - len(set(keys))


def _pairs(documents: Sequence[AnnotatedDocument], key: Callable[[AnnotatedDocument], str]) -> list[Pair]:
    """Return the pairs of documents with the same key, in order."""
    groups: dict[str, list[AnnotatedDocument]] = {}
    for item in documents:
        groups.setdefault(key(item), []).append(item)
    return [pair for group in groups.values() for pair in combinations(group, 2)]


def _listed(pairs: Sequence[Pair], *, same_path: bool = False) -> str:
    named = [_named(*pair, same_path=same_path) for pair in pairs[:SHOWN_PAIRS]]
    more = len(pairs) - len(named)
    return "; ".join(named) + (f"; and {more} more such pairs" if more else "")


def _named(first: AnnotatedDocument, second: AnnotatedDocument, *, same_path: bool = False) -> str:
    if same_path:
        return (
            f"the files {first.file_id!r} ({_side(first)}) and {second.file_id!r} ({_side(second)}) "
            f"are both {first.document.name}"
        )
    return " and ".join(f"{item.file_id!r} ({_side(item)}, {item.document.name})" for item in (first, second))


def _side(item: AnnotatedDocument) -> str:
    if item.is_test:
        return "test" if item.annotated else "test, not annotated"
    return "training" if item.annotated else "not annotated"


def _text_key(document: Document) -> str:
    return _hash(_normalised(word.text) for word in document.words)


def _normalised(text: str) -> str:
    """Return a text in NFC, with each run of white space as one blank."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _places(box: tuple[float, float, float, float]) -> str:
    return " ".join(f"{side:.1f}" for side in box)


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
