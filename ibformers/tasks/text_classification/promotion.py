"""What a training knows of the difference between its model and the one in use. Imports nothing heavy by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ibformers.tasks.text_classification.answers import FEWEST_ROWS, Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOLERANCE = 1e-9
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a difference.

    Attributes:
        sentence: for people, in one line.
        certainly_worse: the new model is worse beyond doubt than the one that it would replace.
    """

    sentence: str
    certainly_worse: bool = False


def known_difference(record: Mapping[str, Any], in_use: str | None) -> Known:
    """Read what a training has recorded of the difference.

    Args:
        record: `training.json` of the new model, or `evaluation.json` of a job; empty where there is none.
        in_use: name of the version that the new model would replace; None where there is none.
    """
    if "comparison" not in record:
        return Known("Nothing is known of the difference from the model before: the training recorded no comparison.")
    if record["comparison"] is None:
        return Known("There is no difference to tell: the model before had not learned to classify.")
    compared_with = _compared_with(record)
    if compared_with != in_use:
        return Known(
            "Nothing is known of the difference from the model before: the training compared with "
            f"{compared_with or 'no model'}, which is not in use."
        )
    try:
        comparison = Comparison.model_validate(record["comparison"])
    except ValidationError:
        return Known("Nothing is known of the difference from the model before: the recorded comparison is not valid.")
    return Known(_sentence(comparison), is_certainly_worse(comparison))


def is_certainly_worse(comparison: Comparison) -> bool:
    """Whether the whole interval of the difference of weighted F1 is below 0.

    Of fewer than 30 rows, an exact test of the rows that only one model gets right has to agree. Where nobody knows
    which test rows the model in use had learned, nothing is certain: it may owe its lead to them.
    """
    if comparison.f1 is None or comparison.learned is None or comparison.f1.high >= -_TOLERANCE:
        return False
    if comparison.rows >= FEWEST_ROWS:
        return True
    from ibformers.statistics import mcnemar_worse

    return mcnemar_worse(comparison.only_old_right, comparison.only_new_right) < _SIGNIFICANT


def _compared_with(record: Mapping[str, Any]) -> str | None:
    current = record.get("current")
    found = record.get("compared_with") if current is None else current.get("version")
    return None if found is None else str(found)


def _sentence(comparison: Comparison) -> str:
    if comparison.f1 is None:
        return comparison.reason
    f1 = comparison.f1
    doubt = (
        "; how many of these rows the model before had learned from is not known" if comparison.learned is None else ""
    )
    return (
        f"On the same {comparison.rows} test rows, weighted F1 is {f1.new:.4f} and was {f1.old:.4f}: a difference of "
        f"{f1.difference:+.4f}, {comparison.confidence * 100:.0f} % interval {f1.low:+.4f} to {f1.high:+.4f}{doubt}."
    )
