"""Models of the files that a training writes (Instabase protocol, "Predictions")."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pytest_ibmodels.instabase.wire import WireModel


class Prediction(WireModel):
    """Prediction of one field in ``predictions.json``; an undefined ``avg_confidence`` is null or NaN."""

    text: str = ""
    avg_confidence: float | None = None
    words: list[dict[str, Any]] = Field(default_factory=list)
    gold_text: str | None = None
    gold_words: list[dict[str, Any]] = Field(default_factory=list)
    is_match: bool | None = None


class DocumentPrediction(WireModel):
    """One document in the nested form of ``predictions.json``; the flat form contains only the fields."""

    is_test_file: bool | None = None
    entities: dict[str, Prediction]
