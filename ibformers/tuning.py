"""Fine-tune a text classifier on the rows of a database, compare it with the model in use, and serve it.

    tuning = Tuning({"path": "models", "model_name": "reviews", "num_labels": 5}, DatabaseRows("sqlite:///reviews.db"))
    tuning.train({"table": "iris.Review", "columns": "ReviewLabel,ReviewText", "p_of_train": 0.8})
    tuning.override()
    Predictor(tuning.settings).predict({"inputs": "This was a really bad experience"})

This module is the public interface, and the command line `python -m ibformers.tuning`. Importing it imports nothing
heavy; torch and transformers are imported by the first training or prediction.
"""

from __future__ import annotations

import warnings

from ibformers.databases.rows import DatabaseRows, RowSource
from ibformers.errors import (
    DatabaseUnavailable,
    ModelBusy,
    ModelChanged,
    ModelIsWorse,
    NoCandidate,
    RequestRefused,
    TuningError,
)
from ibformers.service.operations import Tuning, list_models
from ibformers.tasks.text_classification.answers import (
    AccuracyDifference,
    Comparison,
    Difference,
    DifferenceAnswer,
    DiscardAnswer,
    Intervals,
    Metrics,
    ModelAnswer,
    ModelDetails,
    Prediction,
    RowCounts,
    RowTestPart,
    TakeAnswer,
    TrainAnswer,
    VersionAnswer,
    WorseRow,
)
from ibformers.tasks.text_classification.prediction import Predictor
from ibformers.tasks.text_classification.requests import (
    DiscardRequest,
    MLRequest,
    ModelSettings,
    OverrideRequest,
    RollbackRequest,
    TrainRequest,
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


def __getattr__(name: str) -> type[NoCandidate]:
    if name == "NothingToTake":
        warnings.warn("NothingToTake is deprecated: use NoCandidate", DeprecationWarning, stacklevel=2)
        return NoCandidate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    import gc
    import sys

    from ibformers.service.cli import main

    # Importing torch and transformers makes a million objects that stay; looking through all of them again and again
    # takes more than a second.
    gc.set_threshold(*gc.get_threshold()[:2], 1000)
    sys.exit(main())
