"""Conversion of a source, and labels, to an Annotator project."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.labels import add_labels
from pytest_ibmodels.documents.matching import WordSearch
from pytest_ibmodels.documents.pages import Side, SourceDocument, Value, WordIndex
from pytest_ibmodels.documents.project_files import SUFFIX, AnnotatedSource, Annotation, write_project
from pytest_ibmodels.documents.sources import FORMATS, read_source, recognise
from pytest_ibmodels.documents.text_files import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_OUTSIDE = "O"
"""Name that training reserves for words without a field."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a conversion.

    Attributes:
        format: name of the source's format. None means that it is recognised.
        labels: label file. None means that the source has the values.
        test_fraction: fraction 0..1 of the annotated documents that test, where neither source nor list says which.
        test_list: file with the names of the test documents, one a line. None means that there is none.
        similarity: smallest similarity, 0..1, at which a text is found; 1 takes letters and digits exactly.
        encoding: encoding of texts without a byte order mark.
        replace: replace a project of the same name.
        strict: write nothing if a value is not found.
    """

    format: str | None = None
    labels: Path | None = None
    test_fraction: float = 0.25
    test_list: Path | None = None
    similarity: float = 1.0
    encoding: str = "utf-8"
    replace: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Conversion:
    """Result of a conversion.

    Attributes:
        format: name of the source's format.
        fields: names of the fields.
        training: number of annotated training documents.
        test: number of annotated test documents.
        unannotated: number of documents without annotations.
        found: number of values that were found.
        repeated: number of values whose text stands at several places, of which one was taken.
        missing: sentence for each value that was not found.
        remarks: other sentences, each with its document.
        is_written: False if nothing was written because values are missing.
    """

    format: str
    fields: tuple[str, ...]
    training: int
    test: int
    unannotated: int
    found: int
    repeated: int
    missing: tuple[str, ...]
    remarks: tuple[str, ...]
    is_written: bool


def convert(source: Path, target: Path, settings: Settings) -> Conversion:
    """Convert a source to a project: `target` and the folder of documents beside it, completely or not at all.

    Raises:
        DocumentsError: The source, the labels or the target cannot be used.
    """
    if target.suffix != SUFFIX or target.name == SUFFIX:
        raise DocumentsError(f"the name of a project must end in {SUFFIX}", target)
    name = settings.format or recognise(source)
    documents = read_source(source, name, settings.encoding)
    if settings.labels is not None:
        documents = add_labels(documents, settings.labels, settings.encoding)
    elif not FORMATS[name].has_values:
        raise DocumentsError(
            f"a source in the format {name} says nothing of fields; name a label file: --labels", source
        )
    annotator = _Annotator(settings.similarity)
    annotations = [annotator.annotate(document) for document in documents]
    if not annotator.fields:
        raise DocumentsError("no document has a value of any field, so there is nothing to learn", source)
    tests = _test_names(documents, annotations, settings)
    items = [
        AnnotatedSource(document, found, document.name in tests)
        for document, found in zip(documents, annotations, strict=True)
    ]
    is_written = not (settings.strict and annotator.missing)
    if is_written:
        write_project(target, tuple(annotator.fields), items, replace=settings.replace)
    return Conversion(
        format=name,
        fields=tuple(annotator.fields),
        training=sum(bool(item.annotations) and not item.is_test for item in items),
        test=sum(bool(item.annotations) and item.is_test for item in items),
        unannotated=sum(not item.annotations for item in items),
        found=annotator.found,
        repeated=annotator.repeated,
        missing=tuple(annotator.missing),
        remarks=tuple(f"{one.name}: {remark}" for one in documents for remark in one.remarks),
        is_written=is_written,
    )


class _Annotator:
    """Search of all values, with what was found and what was not."""

    def __init__(self, similarity: float) -> None:
        self.fields: dict[str, None] = {}
        self.missing: list[str] = []
        self.found = 0
        self.repeated = 0
        self._similarity = similarity

    def annotate(self, document: SourceDocument) -> dict[str, Annotation]:
        """Return the annotations of a document by field."""
        search = None
        found: dict[str, Annotation] = {}
        for value in document.values:
            if not value.field.strip() or value.field == _OUTSIDE:
                raise DocumentsError(f"{value.where}: {value.field!r} cannot be the name of a field; rename it")
            self.fields.setdefault(value.field)
            words, text = value.words, value.text
            if words is None and text:
                search = search or WordSearch(document)
                match = search.find(value, self._similarity)
                if match is None:
                    self.missing.append(_not_found(document, value))
                    continue
                words, text = match.words, match.text
                self.repeated += match.occurrences > 1
            self.found += bool(words)
            found[value.field] = _joined(found.get(value.field), text, words or ())
        return found


def _joined(before: Annotation | None, text: str, words: tuple[WordIndex, ...]) -> Annotation:
    if before is None or not before.words:
        return Annotation(text, words)
    added = tuple(word for word in words if word not in before.words)
    return Annotation(f"{before.text} {text}" if added else before.text, (*before.words, *added))


def _not_found(document: SourceDocument, value: Value) -> str:
    page = "" if value.page is None else f" on page {value.page + 1}"
    count = sum(len(line) for _, line in document.lines)
    number = "" if value.occurrence in (0, -1) else f" {value.occurrence + 1} times"
    return (
        f"{value.where}: the text {value.text[:80]!r} of the field {value.field!r} is not{number} among the {count} "
        f"words of {document.name}{page}"
    )


def _test_names(
    documents: Sequence[SourceDocument], annotations: Sequence[dict[str, Annotation]], settings: Settings
) -> set[str]:
    if settings.test_list is not None:
        return _listed_names(documents, settings.test_list, settings.encoding)
    tests = {document.name for document in documents if document.side is Side.TEST}
    if tests or any(document.side for document in documents):
        return tests
    groups: dict[str, list[str]] = {}
    for document, found in zip(documents, annotations, strict=True):
        if found:
            groups.setdefault(_text_hash(document), []).append(document.name)
    # Equal texts stay on one side. The hash of a text, and no order, decides, so that a document hardly ever changes
    # sides when others are added.
    wanted = math.ceil(settings.test_fraction * sum(map(len, groups.values())))
    for key in sorted(groups):
        if len(tests) >= wanted:
            break
        tests.update(groups[key])
    return tests


def _listed_names(documents: Sequence[SourceDocument], file: Path, encoding: str) -> set[str]:
    names = {document.name for document in documents}
    listed = set()
    for number, line in enumerate(read_text(file, encoding).split("\n"), start=1):
        name = line.strip()
        if name and name not in names:
            raise DocumentsError(f"the source has no document {name!r}", file, number)
        listed |= {name} if name else set()
    return listed


def _text_hash(document: SourceDocument) -> str:
    words = "\n".join(word.text for _, line in document.lines for word in line)
    return hashlib.blake2b(words.encode(), digest_size=16).hexdigest()
