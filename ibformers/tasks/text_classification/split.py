"""The side of each row: learned from, or tested. A row's side never depends on other rows, nor on where the row is.

By default the text decides, so that equal texts are on one side. A group column decides in its place, so that all rows
of an author or a customer are on one side; a split column says the side itself.
"""

from __future__ import annotations

import logging
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ibformers.errors import RequestRefused
from ibformers.tasks.text_classification.answers import RowTestPart
from ibformers.tasks.text_classification.keys import (
    fingerprint,
    group_key,
    hash_positions,
    is_among,
    training_mask,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.tasks.text_classification.keys import Keys
    from ibformers.tasks.text_classification.learned import LearnedRows
    from ibformers.tasks.text_classification.requests import TrainRequest

TRAIN, TEST = "train", "test"
"""Values of a split column."""

logger = logging.getLogger("ibformers.tuning")


class SplitRule(Protocol):
    """How the rows of a training are told apart.

    Attributes:
        description: what decides, as the answer says it.
        seeded: whether the seed and `p_of_train` have a part in it.
    """

    description: str
    seeded: bool

    def add(self, values: Sequence[Any]) -> None:
        """Note the values that a row has beside its label and its text.

        Raises:
            RequestRefused: a value names no side.
        """
        ...

    def training_mask(self, keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:
        """Return for each row whether it is learned from."""
        ...

    def advice(self, side: str, share: float, seed: int) -> str:
        """Return why a side has no rows, and what to do."""
        ...


def split_rule(request: TrainRequest) -> SplitRule:
    """Return what tells the rows of a request apart."""
    if request.split_column is not None:
        return _SplitColumn(request.split_column)
    if request.group_column is not None:
        return _GroupColumn(request.group_column)
    return _Text()


class _Text:
    description = "text"
    seeded = True

    def add(self, values: Sequence[Any]) -> None:
        pass

    def training_mask(self, keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:
        return training_mask(keys, share, seed)

    def advice(self, side: str, share: float, seed: int) -> str:
        return (
            f"a hash of each text decides, with p_of_train {share:g} and seed {seed}; let more rows be read, or change "
            f"p_of_train or seed, or name the sides in a split_column ({side} for one row at least)"
        )


class _GroupColumn:
    seeded = True

    def __init__(self, column: str) -> None:
        self.description = f"group column {column}"
        self._column = column
        self._groups = array("Q")
        self._without = array("q")

    def add(self, values: Sequence[Any]) -> None:
        key = group_key(values[0])
        if key is None:
            self._without.append(len(self._groups))
        self._groups.append(key or 0)

    def training_mask(self, keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:
        deciding = np.array(self._groups, dtype=np.uint64)
        # A row of no group stands for itself: else all of them would be one group.
        without = np.array(self._without, dtype=np.int64)
        deciding[without] = keys[without]
        if len(without):
            logger.info("%d rows have no value in %s: their own texts decide", len(without), self._column)
        return training_mask(deciding, share, seed)

    def advice(self, side: str, share: float, seed: int) -> str:
        groups = len(set(self._groups))
        return (
            f"a hash of {self._column} decides, which has {groups} values, with p_of_train {share:g} and seed {seed}; "
            f"let more rows be read, or change p_of_train or seed, or name the sides in a split_column ({side} for one "
            "row at least)"
        )


class _SplitColumn:
    seeded = False

    def __init__(self, column: str) -> None:
        self.description = f"split column {column}"
        self._column = column
        self._training = array("b")

    def add(self, values: Sequence[Any]) -> None:
        value = values[0]
        named = value.strip().lower() if isinstance(value, str) else value
        if named not in (TRAIN, TEST):
            raise RequestRefused(
                f"Column {self._column} holds {_shown(value)}: as the split_column, each row with a label and a text "
                f"must have {TRAIN} or {TEST} there.",
                "split_column",
            )
        self._training.append(named == TRAIN)

    def training_mask(self, keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:  # noqa: ARG002 - as the others
        return np.array(self._training, dtype=np.bool_)

    def advice(self, side: str, share: float, seed: int) -> str:  # noqa: ARG002 - as the others
        return f"{self._column} has {side} in none of the rows that were read; write it into some, or change limit"


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of rows, each side in an order that does not depend on that of the table.

    Attributes:
        train: of the rows to learn from.
        test: of the rows that test.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def split_rows(keys: Keys, rule: SplitRule, share: float, seed: int) -> Split:
    """Tell rows to learn from and rows that test apart.

    Args:
        keys: of the rows' texts, in the order of the rows.
        rule: has been told of each row.
        share: of the rows that are learned from, in the mean.
        seed: of the split.

    Raises:
        RequestRefused: a side would be empty.
    """
    training = rule.training_mask(keys, share, seed)
    for side, count in ((TRAIN, int(training.sum())), (TEST, int((~training).sum()))):
        if not count:
            purpose = "to learn from" if side == TRAIN else "to test"
            raise RequestRefused(
                f"Of {len(keys)} rows there is none {purpose}: {rule.advice(side, share, seed)}.",
                "p_of_train" if rule.seeded else "split_column",
            )
    order = np.argsort(hash_positions(keys, seed), kind="stable")
    return Split(order[training[order]], order[~training[order]])


def describe_split(
    keys: Keys,
    codes: NDArray[Any],
    labels: Sequence[str],
    parts: Split,
    rule: SplitRule,
    seed: int,
    learned: LearnedRows,
) -> RowTestPart:
    """Say what the metrics of a training stand on, in the answer and in the log.

    Args:
        keys: of the rows' texts.
        codes: number of the label of each row.
        labels: names of the labels.
        parts: the rows of each side.
        rule: what told them apart.
        seed: of the split.
        learned: the rows that the model in use has learned.
    """
    train, test = keys[parts.train], keys[parts.test]
    before = learned.among(test)
    part = RowTestPart(
        count=len(test),
        fingerprint=fingerprint(test),
        seed=seed if rule.seeded else None,
        split=rule.description,
        duplicates=len(keys) - len(np.unique(keys)),
        on_both_sides=int(is_among(test, np.sort(train)).sum()),
        labels_without_test_rows=_without(codes[parts.test], labels),
        learned_before=None if before is None else int(before.sum()),
    )
    logger.info("test part: %d rows, fingerprint %s (by %s)", part.count, part.fingerprint, part.split)
    _log_repeated(part, _contradicting(keys, codes))
    _log_labels(part, _without(codes[parts.train], labels), set(labels) - set(_without(codes, labels)))
    _log_learned(part)
    return part


def _log_repeated(part: RowTestPart, contradicting: int) -> None:
    if part.duplicates:
        logger.info("%d rows have the text of another row", part.duplicates)
    if contradicting:
        logger.warning("%d texts occur with different labels: no model can be right about all of them", contradicting)
    if part.on_both_sides:
        logger.warning(
            "%d test rows have the text of a row that is learned from, since %s decides: the metrics are too good",
            part.on_both_sides,
            part.split,
        )


def _log_labels(part: RowTestPart, unlearned: list[str], present: set[str]) -> None:
    """Name the labels of rows that one side has none of; labels that no row has are no surprise."""
    if untested := [label for label in part.labels_without_test_rows if label in present]:
        logger.warning("no test row has the labels %s: there are no metrics of them", ", ".join(untested))
    if unlearned := [label for label in unlearned if label in present]:
        logger.warning("no row to learn from has the labels %s: the model cannot learn them", ", ".join(unlearned))


def _log_learned(part: RowTestPart) -> None:
    if part.learned_before is None:
        logger.warning(
            "the model in use was tuned by an older version, which kept no record of the rows it learned: test rows "
            "may be among them"
        )
    elif part.learned_before:
        logger.warning(
            "%d of %d test rows were learned by the model in use, which was trained with another split: the metrics of "
            "both models are too good",
            part.learned_before,
            part.count,
        )


def _shown(value: Any) -> str:
    shown = "NULL" if value is None else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _without(codes: NDArray[Any], labels: Sequence[str]) -> list[str]:
    counts = np.bincount(codes, minlength=len(labels))
    return [label for label, count in zip(labels, counts.tolist(), strict=True) if not count]


def _contradicting(keys: Keys, codes: NDArray[Any]) -> int:
    """Return how many texts have more than one label."""
    order = np.lexsort((codes, keys))
    ordered, labels = keys[order], codes[order]
    again = (ordered[1:] == ordered[:-1]) & (labels[1:] != labels[:-1])
    return len(np.unique(ordered[1:][again]))
