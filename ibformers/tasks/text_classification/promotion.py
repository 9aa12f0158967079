"""Known difference between a trained model and the one that it would replace. This module imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ibformers.errors import ModelIsWorse
from ibformers.tasks.text_classification.answers import MIN_ROWS, Comparison, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibformers.registry.store import Version

_TOLERANCE = 1e-9
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """Known difference between two models.

    Attributes:
        sentence: the difference as one line of text.
        verdict: the new model is certainly "better" or "worse" than the one that it would replace, or the test rows
            leave it "undecided", or nothing is known.
    """

    sentence: str
    verdict: Verdict = "unknown"

    @property
    def is_certainly_worse(self) -> bool:
        return self.verdict == "worse"


def known_difference(record: Mapping[str, Any], in_use: str | None) -> KnownDifference:
    """Return the difference that a training recorded.

    Args:
        record: `training.json` of the new model, or `evaluation.json` of a job; empty if there is none.
        in_use: name of the version that the new model would replace; None if there is none.
    """
    if "comparison" not in record:
        return KnownDifference(
            "Nothing is known of the difference from the model before: the training recorded no comparison."
        )
    if record["comparison"] is None:
        return KnownDifference("There is no difference to report: the model before had not learned to classify.")
    compared_with = _compared_with(record)
    if compared_with != in_use:
        return KnownDifference(
            "Nothing is known of the difference from the model before: the training compared with "
            f"{compared_with or 'no model'}, which is not in use."
        )
    try:
        comparison = Comparison.model_validate(record["comparison"])
    except ValidationError:
        return KnownDifference(
            "Nothing is known of the difference from the model before: the recorded comparison is not valid."
        )
    return KnownDifference(_sentence(comparison), _verdict(comparison))


def check_not_worse(
    model_name: str, candidate: str, record: Mapping[str, Any], in_use: Version | None, hint: str, *, force: bool
) -> KnownDifference:
    """Return the known difference between a new model and the model in use.

    Args:
        model_name: name of the model, for the message.
        candidate: description of the new model, for the message.
        record: see `known_difference`.
        in_use: the version in use; None if there is none.
        hint: how to promote the new model all the same, for the message.
        force: accept a model that is certainly worse.

    Raises:
        ModelIsWorse: the new model is certainly worse, and `force` is false.
    """
    known = known_difference(record, in_use.name if in_use else None)
    if known.is_certainly_worse and not force:
        raise ModelIsWorse(
            f"{model_name} stays as it is: {candidate} is certainly worse. {known.sentence} {hint}", "force"
        )
    return known


def is_certainly_worse(comparison: Comparison) -> bool:
    """Return whether the whole interval of the difference of weighted F1 is below 0.

    With fewer than 30 rows, an exact test of the rows that only one model gets right has to agree. Nothing is certain
    if it is not known which test rows the model in use has learned: its lead may come from them.
    """
    if comparison.f1 is None or comparison.learned is None or comparison.f1.high >= -_TOLERANCE:
        return False
    if comparison.rows >= MIN_ROWS:
        return True
    from ibformers.statistics import mcnemar_worse

    return mcnemar_worse(comparison.only_old_right, comparison.only_new_right) < _SIGNIFICANT


def _verdict(comparison: Comparison) -> Verdict:
    if comparison.f1 is None:
        return "unknown"
    if is_certainly_worse(comparison):
        return "worse"
    is_better = comparison.f1.low > _TOLERANCE and comparison.rows >= MIN_ROWS
    return "better" if is_better else "undecided"


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
