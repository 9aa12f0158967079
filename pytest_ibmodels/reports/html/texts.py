"""Predictions that differ: the two texts of a field, split into equal and different pieces."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.tables import clipped

if TYPE_CHECKING:
    from pytest_ibmodels.reports.record import DifferenceRecord, InferenceRecord

_LONGEST_COMPARED = 600
_LEAST_ALIKE = 0.5
_LONGEST_SHOWN = 4001
"""Characters, with the ellipsis."""
_MOST_DIFFERENCES = 500

Piece = tuple[str, bool]
"""Part of a text, and True if the other text differs there."""


@dataclass(frozen=True)
class FieldView:
    """A field of a document, with its text at training and at inference."""

    field: str
    at_training: tuple[Piece, ...]
    at_inference: tuple[Piece, ...]


@dataclass(frozen=True)
class DocumentView:
    """A document with predictions that differ, or without an answer.

    Attributes:
        name: last part of its path; ``folder`` is the rest, or empty.
        reason: why there was no answer; empty if there was one.
    """

    name: str
    folder: str
    fields: tuple[FieldView, ...] = ()
    reason: str = ""


def documents(record: InferenceRecord) -> tuple[tuple[DocumentView, ...], int]:
    """Group the differences by document, in the order of the comparison.

    Returns:
        The documents, and the number of differences beyond the limit of the page.
    """
    shown = record.differences[:_MOST_DIFFERENCES]
    grouped: dict[str, list[DifferenceRecord]] = {}
    for difference in shown:
        grouped.setdefault(difference.document, []).append(difference)
    views = [_document(path, fields=tuple(map(_field, differing))) for path, differing in grouped.items()]
    views += [_document(path, reason=reason) for path, reason in record.unanswered.items()]
    return tuple(views), len(record.differences) - len(shown)


def _document(path: str, *, fields: tuple[FieldView, ...] = (), reason: str = "") -> DocumentView:
    folder, slash, name = path.rpartition("/")
    return DocumentView(name or path, folder + slash if name else "", fields, reason)


def _field(difference: DifferenceRecord) -> FieldView:
    before, after = split_differences(difference.at_training, difference.at_inference)
    return FieldView(difference.field, before, after)


def split_differences(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Split two texts into equal and different pieces.

    Texts that have little in common, or are long, differ as a whole: single letters that agree by chance help nobody.
    """
    if not before or not after or max(len(before), len(after)) > _LONGEST_COMPARED:
        return _whole(before), _whole(after)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < _LEAST_ALIKE:
        return _whole(before), _whole(after)
    codes = matcher.get_opcodes()
    return (
        tuple(_piece(before[start:end], tag) for tag, start, end, _, _ in codes if start < end),
        tuple(_piece(after[start:end], tag) for tag, _, _, start, end in codes if start < end),
    )


def _piece(text: str, tag: str) -> Piece:
    # A line break that differs would be invisible.
    return (text, False) if tag == "equal" else (text.replace("\n", "↵\n"), True)


def _whole(text: str) -> tuple[Piece, ...]:
    return ((clipped(text, _LONGEST_SHOWN), True),) if text else ()
