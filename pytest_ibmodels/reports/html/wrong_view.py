"""Wrong predictions of a training, with the differing pieces of their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import counted, number
from pytest_ibmodels.reports.html.formats import NOTHING, typeset
from pytest_ibmodels.reports.html.texts import split_differences
from pytest_ibmodels.reports.wrong import changed_sentence, confusion_words

if TYPE_CHECKING:
    from pytest_ibmodels.reports.html.texts import Piece
    from pytest_ibmodels.reports.record import TrainingRecord
    from pytest_ibmodels.reports.wrong_record import WrongRecord


@dataclass(frozen=True)
class WrongRow:
    """A wrong prediction. ``folder`` is the path of the document without its name; the score is a dash if unknown."""

    name: str
    folder: str
    field: str
    expected: tuple[Piece, ...]
    predicted: tuple[Piece, ...]
    score: str
    input: str


@dataclass(frozen=True)
class WrongView:
    """Why a training failed: its wrong predictions, confusions of labels, and changes since the last passed run."""

    record: TrainingRecord

    @property
    def rows(self) -> tuple[WrongRow, ...]:
        return tuple(map(_row, self.record.wrong))

    @property
    def has_inputs(self) -> bool:
        return any(one.input for one in self.record.wrong)

    @property
    def caption(self) -> str:
        """The number of wrong predictions, and of those that are shown."""
        count, shown = self.record.wrong_count, len(self.record.wrong)
        worst = f"; the worst {shown} are shown" if shown < count else ""
        return f"{counted(count, 'prediction')} {'is' if count == 1 else 'are'} wrong{worst}."

    @property
    def confusions(self) -> tuple[str, ...]:
        """Labels that were predicted in place of others, in words."""
        return tuple(map(confusion_words, self.record.confusions))

    @property
    def changed(self) -> str:
        """Changes since the last passed run, as one sentence; empty if unknown."""
        return "" if self.record.changed is None else changed_sentence(self.record.changed)


def _row(one: WrongRecord) -> WrongRow:
    folder, slash, name = one.document.rpartition("/")
    expected, predicted = split_differences(one.expected or "", one.predicted)
    if one.expected is None:
        expected = ((NOTHING, False),)
    score = NOTHING if one.score is None else typeset(number(one.score, 2))
    folder = folder + slash if name else ""
    return WrongRow(name or one.document, folder, one.field, expected, predicted, score, one.input)
