"""Training code: how many stars does the text of a review give?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from ibformers.sdk import Job, Result, trainer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline


@dataclass
class Settings:
    """Config of the model test; a key that is not here is refused."""

    regularization: float = 1.0
    longest_phrase: int = 2


@trainer(config=Settings)
def train(job: Job) -> Result:
    rows, test = job.split(job.read_table(), by="ReviewText")
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, job.config.longest_phrase), sublinear_tf=True),
        LogisticRegression(C=1 / job.config.regularization, max_iter=1000),
    )
    model.fit([row["ReviewText"] for row in rows], [row["ReviewLabel"] for row in rows])

    expected = [row["ReviewLabel"] for row in test]
    predicted = model.predict([row["ReviewText"] for row in test])
    metrics = {
        "accuracy": accuracy_score(expected, predicted),
        "f1": {"weighted avg": f1_score(expected, predicted, average="weighted")},
    }
    predictions = [
        {"input": row["ReviewText"], "predicted": found, "expected": row["ReviewLabel"]}
        for row, found in zip(test, predicted, strict=True)
    ]
    return Result(metrics, predictions, model)


def load(folder: Path) -> Any:
    """Return the function that serves the model: from the text of a review to its stars."""
    model = joblib.load(folder / "model.joblib")
    return lambda text: model.predict([text])[0]
