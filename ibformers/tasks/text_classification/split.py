"""Split of rows into a training part and a test part. The side of a row does not depend on other rows or on its place.

By default the text decides, so equal texts are on one side. With a group column, its value decides, so all rows of an
author or a customer are on one side. A split column contains the side itself.
"""

from __future__ import annotations

import logging
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ibformers.errors import RequestRefused
from ibformers.tasks.text_classification.answers import RowTestPart
from ibformers.tasks.text_classification.batch_size import HELD_OUT, MIN_HELD_OUT
from ibformers.tasks.text_classification.keys import fingerprint, group_key, hash_positions, is_among, training_mask
from ibformers.tasks.text_classification.requests import short_repr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.tasks.text_classification.keys import Keys
    from ibformers.tasks.text_classification.learned import LearnedRows
    from ibformers.tasks.text_classification.requests import TrainRequest

TRAIN, TEST = "train", "test"
"""Values of a split column."""

_HELD_OUT_SEED = 2**32
"""Seed of the choice of held-out rows. Seeds of splits are smaller, so this choice does not depend on any split."""

logger = logging.getLogger("ibformers.tuning")


class SplitRule(Protocol):
    """Rule that decides the side of each row.

    Attributes:
        description: the rule in the answer of a training.
        seeded: whether the side depends on the seed and `p_of_train`.
    """

    description: str
    seeded: bool

    def add(self, values: Sequence[Any]) -> None:
        """Add a row, by its values beside label and text.

        Raises:
            RequestRefused: a value is not a side.
        """
        ...

    def training_mask(self, keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:
        """Return whether each row is in the training part."""
        ...

    def deciding(self, keys: Keys) -> Keys:
        """Return for each row the key that belongs to it and to all rows that stay together with it."""
        ...

    def advice(self, side: str, share: float, seed: int) -> str:
        """Return why a side has no rows, and what to do."""
        ...


def split_rule(request: TrainRequest) -> SplitRule:
    """Return the rule of the split for a request."""
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

    def deciding(self, keys: Keys) -> Keys:
        return keys

    def advice(self, side: str, share: float, seed: int) -> str:
        return _hash_advice("a hash of each text decides", side, share, seed)


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
        if len(self._without):
            logger.info("%d rows have no value in %s: their own texts decide", len(self._without), self._column)
        return training_mask(self.deciding(keys), share, seed)

    def deciding(self, keys: Keys) -> Keys:
        deciding = np.array(self._groups, dtype=np.uint64)
        # Rows without a group are decided by their own texts, because they are not one group.
        without = np.array(self._without, dtype=np.int64)
        deciding[without] = keys[without]
        return deciding

    def advice(self, side: str, share: float, seed: int) -> str:
        decider = f"a hash of {self._column} decides, which has {len(set(self._groups))} values"
        return _hash_advice(decider, side, share, seed)


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
            shown = "NULL" if value is None else short_repr(value)
            raise RequestRefused(
                f"Column {self._column} holds {shown}: as the split_column, each row with a label and a text "
                f"must have {TRAIN} or {TEST} there.",
                "split_column",
            )
        self._training.append(named == TRAIN)

    def training_mask(self, keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:  # noqa: ARG002 - as the others
        return np.array(self._training, dtype=np.bool_)

    def deciding(self, keys: Keys) -> Keys:
        return keys

    def advice(self, side: str, share: float, seed: int) -> str:  # noqa: ARG002 - as the others
        return f"{self._column} has {side} in none of the rows that were read; write it into some, or change limit"


def _hash_advice(decider: str, side: str, share: float, seed: int) -> str:
    return (
        f"{decider}, with p_of_train {share:g} and seed {seed}; let more rows be read, or change p_of_train or seed, "
        f"or name the sides in a split_column ({side} for one row at least)"
    )


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of rows on both sides, in an order that does not depend on the order of the table.

    Attributes:
        train: indices of the rows to train on.
        test: indices of the test rows.
        held_out: indices of the rows of the training part that are not trained on.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    held_out: NDArray[np.int64] = field(default_factory=lambda: np.array([], dtype=np.int64))


def split_rows(keys: Keys, rule: SplitRule, share: float, seed: int) -> Split:
    """Split rows into a training part and a test part.

    Args:
        keys: keys of the rows' texts, in the order of the rows.
        rule: rule of the split, with all rows added.
        share: expected fraction of rows to train on, 0..1.
        seed: seed of the split.

    Raises:
        RequestRefused: a side is empty.
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


def hold_out_rows(parts: Split, keys: Keys, codes: NDArray[Any], rule: SplitRule, learned: LearnedRows) -> Split:
    """Hold out about a tenth of the training part, to which the temperature is fitted.

    A hash of each row, or of its group, decides, but not the seed of the split: a row that one training holds out is
    learned by no other. These rows are learned all the same: rows that a model before has learned, rows whose text is
    in the test part or is learned, and rows of a label that no other row has. If fewer than `MIN_HELD_OUT` rows are
    left, all are learned.

    Args:
        parts: the rows of each side.
        keys: keys of the rows' texts.
        codes: index of the label of each row.
        rule: rule of the split.
        learned: record of the rows that the model in use was trained on.
    """
    train = parts.train
    chosen = ~training_mask(rule.deciding(keys)[train], 1 - HELD_OUT, _HELD_OUT_SEED)
    before = learned.among(keys[train])
    if before is not None:
        chosen &= ~before
    chosen &= ~is_among(keys[train], np.sort(keys[parts.test]))
    chosen &= np.isin(codes[train], codes[train[~chosen]])
    chosen &= ~is_among(keys[train], np.sort(keys[train[~chosen]]))
    if (count := int(chosen.sum())) < MIN_HELD_OUT:
        logger.info(
            "only %d rows could be held out, and a temperature needs %d: all rows are learned, and the scores are no "
            "probabilities",
            count,
            MIN_HELD_OUT,
        )
        return parts
    logger.info("%d rows of the training part are held out, to fit the temperature of the scores", count)
    return Split(train[~chosen], parts.test, train[chosen])


def describe_split(
    keys: Keys,
    codes: NDArray[Any],
    labels: Sequence[str],
    parts: Split,
    rule: SplitRule,
    seed: int,
    learned: LearnedRows,
) -> RowTestPart:
    """Return and log a description of the test part.

    Args:
        keys: keys of the rows' texts.
        codes: index of the label of each row.
        labels: names of the labels.
        parts: the rows of each side.
        rule: rule of the split.
        seed: seed of the split.
        learned: record of the rows that the model in use was trained on.
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
        labels_without_test_rows=_labels_without_rows(codes[parts.test], labels),
        learned_before=None if before is None else int(before.sum()),
    )
    logger.info("test part: %d rows, fingerprint %s (by %s)", part.count, part.fingerprint, part.split)
    _log_repeated(part, _contradicting(keys, codes))
    _log_labels(
        part, _labels_without_rows(codes[parts.train], labels), set(labels) - set(_labels_without_rows(codes, labels))
    )
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
    """Log the labels that only one side has; labels without any row are expected."""
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


def _labels_without_rows(codes: NDArray[Any], labels: Sequence[str]) -> list[str]:
    counts = np.bincount(codes, minlength=len(labels))
    return [label for label, count in zip(labels, counts.tolist(), strict=True) if not count]


def _contradicting(keys: Keys, codes: NDArray[Any]) -> int:
    """Return the number of texts with more than one label."""
    order = np.lexsort((codes, keys))
    ordered, labels = keys[order], codes[order]
    again = (ordered[1:] == ordered[:-1]) & (labels[1:] != labels[:-1])
    return len(np.unique(ordered[1:][again]))
