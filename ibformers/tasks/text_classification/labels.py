"""Labels of a table: their names, their order, and the labels of a new model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ibformers.errors import RequestRefused
from ibformers.tasks.text_classification.metrics import AVERAGES
from ibformers.unicode import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_LABELS = 1000
"""Maximum number of labels; a column with more values is not a label column."""

_GENERIC = re.compile(r"LABEL_(\d+)")
"""Placeholders that transformers writes for outputs without names."""

_WHOLE = re.compile(r"-?\d+")


def label_name(value: Any, column: str) -> str:
    """Return the name of a label, which does not depend on the type of the value.

    Raises:
        RequestRefused: the value is neither a whole number nor a text.
    """
    if isinstance(value, str):
        return clean(value).strip()
    if isinstance(value, bool):
        return str(value).lower()
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != value:
        raise RequestRefused(
            f"Column {column} holds {value!r}: a label is a whole number or a text "
            "(columns are first the label, second the text).",
            "columns",
        )
    return str(whole)


def sort_labels(names: Iterable[str]) -> list[str]:
    """Return labels sorted: whole numbers by value, placeholders such as `LABEL_10` by number, others as text."""
    found = sorted(names)
    if all(_WHOLE.fullmatch(name) for name in found):
        return sorted(found, key=int)
    if all(_GENERIC.fullmatch(name) for name in found):
        return sorted(found, key=lambda name: int(name.removeprefix("LABEL_")))
    return found


def choose_labels(found: Sequence[str], known: Sequence[str], num_labels: int | None) -> list[str]:
    """Return the labels of the new model, in the order of its outputs.

    The labels of the model in use stay if they include all labels of the rows. If the rows have some of the whole
    numbers from 1 to `num_labels` (or from 0), the model gets all of them, because few rows seldom have every one.

    Args:
        found: labels of the rows.
        known: labels of the model in use; empty if it has none of its own.
        num_labels: the setting `num_labels`; None if it is not set.

    Raises:
        RequestRefused: the rows have one label only, more than `num_labels`, or one with the name of an average.
    """
    for average in AVERAGES:
        if average in {*found, *known}:
            raise RequestRefused(
                f"The rows have a label {average!r}, which is what the average over all labels is called in metrics: "
                "rename the label.",
                "columns",
            )
    if set(found) <= set(known) and num_labels in {None, len(known)}:
        return list(known)
    labels = sort_labels({*found, *known} if set(found) & set(known) else found)
    if num_labels is not None:
        for first in (1, 0):
            every = [str(number) for number in range(first, first + num_labels)]
            if set(found) <= set(every):
                return every
        if len(labels) > num_labels and len(set(found)) <= num_labels:
            labels = sort_labels(found)
        if len(labels) > num_labels:
            raise RequestRefused(
                f"The rows have {len(labels)} labels ({_listed(labels)}), but the setting num_labels is {num_labels}: "
                "change it, or check that columns are first the label, second the text.",
                "num_labels",
            )
    if len(labels) < 2:
        raise RequestRefused(f"All rows have the same label, {labels[0]!r}: there is nothing to learn.", "columns")
    return labels


def is_consecutive(labels: Sequence[str]) -> bool:
    """Return whether the labels are three or more consecutive whole numbers, such as stars."""
    if len(labels) < 3 or not all(_WHOLE.fullmatch(label) for label in labels):
        return False
    first = int(labels[0])
    return [int(label) for label in labels] == list(range(first, first + len(labels)))


def own_labels(names: Sequence[str]) -> list[str]:
    """Return the labels of a model; an empty list if all of them are placeholders."""
    return [] if all(_GENERIC.fullmatch(name) for name in names) else list(names)


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(label[:20] for label in labels[:6])
    return shown + (", …" if len(labels) > 6 else "")
