"""Wrong predictions, labels that are taken for others, and what changed since the last passed run, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import NOTHING, counted, number
from pytest_ibmodels.reports.lines import RedLine
from pytest_ibmodels.reports.tables import clipped, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.reports.wrong_record import ChangedRecord, ConfusionRecord
    from pytest_ibmodels.verdicts.changed import ChangedSince
    from pytest_ibmodels.verdicts.results import WrongPrediction
    from pytest_ibmodels.verdicts.wrong import Confusion

_MOST_WRONG, _MOST_CONFUSIONS = 10, 5
_NAME, _INPUT, _TEXT = 36, 44, 32
"""Most characters of a cell: document, input, and expected or predicted text."""


def wrong_lines(wrong: Sequence[WrongPrediction], total: int, which: str = "") -> list[str]:
    """Table of the worst wrong predictions, without the columns that would be empty or the same in each row.

    Args:
        wrong: all wrong predictions, in the order in which they are shown.
        total: number of all predictions whose right value is known.
        which: whose predictions these are, if not the run's own.
    """
    shown = wrong[:_MOST_WRONG]
    if not shown:
        return []
    columns = {"document or row": [_end_of(one.document) for one in shown]}
    if len({one.field for one in wrong}) > 1:
        columns["field"] = [clipped(one.field, _TEXT) for one in shown]
    columns["expected"] = [_quoted(one.expected, _TEXT) for one in shown]
    columns["predicted"] = [_quoted(one.predicted, _TEXT) for one in shown]
    right = []
    if any(one.score is not None for one in shown):
        right = [len(columns)]
        columns["score"] = [number(one.score, 2) for one in shown]
    if any(one.input for one in shown):
        columns["input"] = [_quoted(one.input, _INPUT) for one in shown]
    first = f", the worst {len(shown)}" if len(wrong) > len(shown) else ""
    head, *rows = table(tuple(columns), list(zip(*columns.values(), strict=True)), right=frozenset(right))
    return [f"wrong predictions{which}: {len(wrong)} of {total}{first}", head, *map(RedLine, rows)]


def confusion_lines(confusions: Sequence[Confusion | ConfusionRecord]) -> list[str]:
    """The most frequent confusions of labels, a line for each; empty without any."""
    lines = [f"  {sentence}" for sentence in map(confusion_words, confusions[:_MOST_CONFUSIONS])]
    if len(confusions) > _MOST_CONFUSIONS:
        lines.append(f"  and {counted(len(confusions) - _MOST_CONFUSIONS, 'more pair')} of labels")
    return lines and ["labels predicted in place of others:", *lines]


def confusion_words(one: Confusion | ConfusionRecord) -> str:
    """A confusion of labels, such as `good -> bad: 12 of 80`."""
    return f"{clipped(one.expected, _TEXT)} -> {clipped(one.predicted or NOTHING, _TEXT)}: {one.count} of {one.of}"


def changed_sentence(changed: ChangedSince | ChangedRecord) -> str:
    """Changes since the last passed run, as one sentence."""
    commit = f", commit {changed.commit[:9]}" if changed.commit else ""
    last = f"the last passed run ({changed.started:%Y-%m-%d %H:%M} UTC{commit})"
    if not changed.facts:
        return f"nothing that the history knows has changed since {last}"
    return f"changed since {last}: {'; '.join(changed.facts)}"


def _end_of(document: str) -> str:
    """The name of a document, which is the end of its path."""
    return document if len(document) <= _NAME else f"…{document[1 - _NAME :]}"


def _quoted(text: str | None, characters: int) -> str:
    return NOTHING if text is None else clipped(repr(text), characters)
