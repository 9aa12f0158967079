"""Two texts of a field side by side: what of them differs."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_ibmodels.reports.record import DifferenceRecord, InferenceRecord

_LONGEST_COMPARED = 600
_LEAST_ALIKE = 0.5
_LONGEST_SHOWN = 4000
_MOST_DIFFERENCES = 500

Piece = tuple[str, bool]
"""Part of a text, and whether the other text has something else there."""


@dataclass(frozen=True)
class FieldView:
    """A field of a document with both of its texts."""

    field: str
    at_training: tuple[Piece, ...]
    at_inference: tuple[Piece, ...]


@dataclass(frozen=True)
class DocumentView:
    """A document whose predictions differ, or one without an answer.

    Attributes:
        name: the last part of its path; ``folder``: the rest, maybe empty.
        reason: why there was no answer; empty if there was one.
    """

    name: str
    folder: str
    fields: tuple[FieldView, ...] = ()
    reason: str = ""


def documents(record: InferenceRecord) -> tuple[tuple[DocumentView, ...], int]:
    """Arrange what differs by document, in the order of the comparison.

    Returns:
        The documents, and how many differences were too many to be shown.
    """
    shown = record.differences[:_MOST_DIFFERENCES]
    grouped: dict[str, list[DifferenceRecord]] = {}
    for difference in shown:
        grouped.setdefault(difference.document, []).append(difference)
    views = [_document(path, fields=tuple(map(_field, mine))) for path, mine in grouped.items()]
    views += [_document(path, reason=reason) for path, reason in record.unanswered.items()]
    return tuple(views), len(record.differences) - len(shown)


def _document(path: str, *, fields: tuple[FieldView, ...] = (), reason: str = "") -> DocumentView:
    folder, slash, name = path.rpartition("/")
    return DocumentView(name or path, folder + slash if name else "", fields, reason)


def _field(difference: DifferenceRecord) -> FieldView:
    before, after = compared(difference.at_training, difference.at_inference)
    return FieldView(difference.field, before, after)


def compared(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Split two texts into what they share and what they do not.

    Texts that have little in common, or are long, differ as a whole: single letters that happen to agree help nobody.
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
    # A line break that differs would not be seen.
    return (text, False) if tag == "equal" else (text.replace("\n", "↵\n"), True)


def _whole(text: str) -> tuple[Piece, ...]:
    clipped = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return ((clipped, True),) if text else ()
