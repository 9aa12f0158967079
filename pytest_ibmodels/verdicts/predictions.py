"""Predictions at inference against those of training.

Source: Instabase protocol, "Predictions"; stricter here: every field of either side counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_ibmodels.verdicts.checks import MetricCheck


@dataclass(frozen=True)
class Difference:
    """One field of one document whose text differs."""

    document: str
    field: str
    at_training: str
    at_inference: str


@dataclass(frozen=True)
class PredictionsVerdict:
    """Result of comparing predictions.

    Attributes:
        documents: documents that inference was asked about.
        fields_compared: number of fields, over all documents.
        texts_compared: number of these with a text on either side; if 0, equality says little.
        differences: fields that differ.
        unanswered: document → reason why it could not be compared.
        checks: checks of the project's own hooks, made beside the comparison.
    """

    documents: tuple[str, ...]
    fields_compared: int
    texts_compared: int
    differences: tuple[Difference, ...]
    unanswered: Mapping[str, str]
    checks: tuple[MetricCheck, ...] = ()

    @property
    def passed(self) -> bool:
        return self.fields_compared > 0 and not self.differences and not self.unanswered

    @property
    def nothing_answered(self) -> bool:
        return len(self.unanswered) == len(self.documents)


@dataclass(frozen=True)
class Answer:
    """Inference's answer for one document: text per field, or the error instead."""

    texts: Mapping[str, str]
    error: str = ""


def compare_predictions(
    training: Mapping[str, Mapping[str, str]], inference: Mapping[str, Answer]
) -> PredictionsVerdict:
    """Hold the predictions of a served model to those of its training.

    Args:
        training: document → field → text, for the documents that inference was asked about.
        inference: document → answer. A document without an answer is a failure, never a pass.

    Returns:
        The verdict. A field that is missing on one side counts as empty text there.
    """
    differences: list[Difference] = []
    unanswered: dict[str, str] = {}
    compared = texts = 0
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
            texts += bool(before or after)
            if before != after:
                differences.append(Difference(document, field, before, after))
    return PredictionsVerdict(tuple(training), compared, texts, tuple(differences), unanswered)
