"""Detection of duplicate documents in a project, by path and by content."""

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
"""Maximum number of duplicate pairs that a message lists."""

Pair = tuple["AnnotatedDocument", "AnnotatedDocument"]

logger = logging.getLogger(__name__)


def content_key(document: Document) -> str:
    """Hash the words of a document with their pages and boxes: 16 hex digits.

    Files that differ only in JSON key order, white space, Unicode normalisation or path have the same key. Boxes are
    rounded to a tenth of a pixel.
    """
    return _hash(f"{_normalised(word.text)}\t{word.page}\t{_places(word.box)}" for word in document.words)


def fingerprint(documents: Iterable[Document]) -> str:
    """Hash a set of documents by their contents: 16 hex digits, independent of order and paths."""
    keys = sorted(content_key(document) for document in documents)
    return _hash([str(len(keys)), *keys])


def check_distinct(documents: Sequence[AnnotatedDocument], path: str) -> None:
    """Refuse a project that contains a document twice.

    The metrics of such a project would count a document twice, or test a document that was trained on. Equal paths are
    always refused. Equal contents (see `content_key`) are refused if one of the two files is annotated or a test file;
    other pairs are logged, and documents without words are ignored. A warning is logged for a test document that has
    the same words as a training document in other locations.

    Args:
        documents: all documents of the project, in its order.
        path: path of the project, for messages.

    Raises:
        TrainingInputError: The project contains a document twice; the message names both files of each pair.
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
    """Count the documents that have the same words as an earlier one, regardless of location."""
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
    """Return a text in NFC, with each run of white space collapsed to one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _places(box: tuple[float, float, float, float]) -> str:
    return " ".join(f"{side:.1f}" for side in box)


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
