"""Training code for document models: trained by an environment, and packaged with every trained model.

Importing `ibformers` imports nothing. The names of `ibformers.tuning`, which needs pydantic and sqlalchemy, are here
too, and are imported on first use. `ibformers.iris` runs inside IRIS and needs iop. Everything else needs only numpy,
scipy, torch, transformers, tokenizers, safetensors and accelerate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibformers.tuning import (
        AccuracyDifference,
        Comparison,
        DatabaseRows,
        DatabaseUnavailable,
        Difference,
        DifferenceAnswer,
        DiscardAnswer,
        DiscardRequest,
        Intervals,
        Metrics,
        MLRequest,
        ModelAnswer,
        ModelBusy,
        ModelChanged,
        ModelDetails,
        ModelIsWorse,
        ModelSettings,
        NoCandidate,
        OverrideRequest,
        Prediction,
        Predictor,
        RequestRefused,
        RollbackRequest,
        RowCounts,
        RowSource,
        RowTestPart,
        TakeAnswer,
        TrainAnswer,
        TrainRequest,
        Tuning,
        TuningError,
        VersionAnswer,
        WorseRow,
        list_models,
    )

__all__ = [
    "AccuracyDifference",
    "Comparison",
    "DatabaseRows",
    "DatabaseUnavailable",
    "Difference",
    "DifferenceAnswer",
    "DiscardAnswer",
    "DiscardRequest",
    "Intervals",
    "MLRequest",
    "Metrics",
    "ModelAnswer",
    "ModelBusy",
    "ModelChanged",
    "ModelDetails",
    "ModelIsWorse",
    "ModelSettings",
    "NoCandidate",
    "OverrideRequest",
    "Prediction",
    "Predictor",
    "RequestRefused",
    "RollbackRequest",
    "RowCounts",
    "RowSource",
    "RowTestPart",
    "TakeAnswer",
    "TrainAnswer",
    "TrainRequest",
    "Tuning",
    "TuningError",
    "VersionAnswer",
    "WorseRow",
    "list_models",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ibformers import tuning

    return getattr(tuning, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
