"""Fine-tunes a text classifier from the rows of a database, lets it wait beside the one in use, and serves it.

    tuning = Tuning({"path": "models", "model_name": "reviews", "num_labels": 5}, DatabaseRows("sqlite:///reviews.db"))
    tuning.train({"table": "iris.Review", "columns": "ReviewLabel,ReviewText", "p_of_train": 0.8})
    tuning.override()
    Predictor(tuning.settings).predict({"inputs": "This was a really bad experience"})

Importing this imports nothing heavy; torch and transformers come with the first training or prediction.
"""

from __future__ import annotations

from ibformers.databases.rows import DatabaseRows, RowSource
from ibformers.errors import (
    DatabaseUnavailable,
    ModelBusy,
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
    Intervals,
    Metrics,
    ModelAnswer,
    Prediction,
    RowCounts,
    RowTestPart,
    TakeAnswer,
    TrainAnswer,
    WorseRow,
)
from ibformers.tasks.text_classification.prediction import Predictor
from ibformers.tasks.text_classification.requests import (
    MLRequest,
    ModelSettings,
    OverrideRequest,
    TrainRequest,
)

__all__ = [
    "AccuracyDifference",
    "Comparison",
    "DatabaseRows",
    "DatabaseUnavailable",
    "Difference",
    "Intervals",
    "MLRequest",
    "Metrics",
    "ModelAnswer",
    "ModelBusy",
    "ModelIsWorse",
    "ModelSettings",
    "NoCandidate",
    "OverrideRequest",
    "Prediction",
    "Predictor",
    "RequestRefused",
    "RowCounts",
    "RowSource",
    "RowTestPart",
    "TakeAnswer",
    "TrainAnswer",
    "TrainRequest",
    "Tuning",
    "TuningError",
    "WorseRow",
    "list_models",
]

if __name__ == "__main__":
    import sys

    from ibformers.service.cli import main

    sys.exit(main())
