"""Predictions at inference against those of training (protocol 13.2, stricter: every field of both sides counts)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Difference:
    """One field of one document whose text differs."""

    document: str
    field: str
    at_training: str
    at_inference: str


@dataclass(frozen=True)
class PredictionsVerdict:
    """Documents compared, the fields that differ, and the documents that could not be compared with the reason."""

    documents: tuple[str, ...]
    fields_compared: int
    differences: tuple[Difference, ...]
    unanswered: Mapping[str, str]

    @property
    def passed(self) -> bool:
        return bool(self.documents) and not self.differences and not self.unanswered


@dataclass(frozen=True)
class Answer:
    """What inference answered for one document: text per field, or why there is none."""

    texts: Mapping[str, str]
    error: str = ""


def compare_predictions(
    training: Mapping[str, Mapping[str, str]], inference: Mapping[str, Answer]
) -> PredictionsVerdict:
    """Hold the predictions of a served model to those that training made.

    Args:
        training: document → field → text, for the documents that inference was asked about.
        inference: document → answer. A document without an answer is a failure, never a pass.

    Returns:
        The verdict. A field that one side does not name counts as empty text there.
    """
    differences: list[Difference] = []
    unanswered: dict[str, str] = {}
    compared = 0
    for document, expected in training.items():
        answer = inference.get(document)
        if answer is None:
            unanswered[document] = "the Refiner returned no record for this document"
            continue
        if answer.error:
            unanswered[document] = answer.error
            continue
        for field in dict.fromkeys([*expected, *answer.texts]):
            compared += 1
            before, after = expected.get(field, ""), answer.texts.get(field, "")
            if before != after:
                differences.append(Difference(document, field, before, after))
    return PredictionsVerdict(tuple(training), compared, tuple(differences), unanswered)
