"""Train a spam filter on labelled mails."""

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

from ibformers.sdk import Job, Result, trainer


@trainer
def train(job: Job) -> Result:
    train_rows, test_rows = job.split(job.read_table(), by="text")

    vectorizer = TfidfVectorizer(ngram_range=(1, job.config.get("ngrams", 2)))
    model = make_pipeline(vectorizer, LogisticRegression(C=job.config.get("C", 1.0), max_iter=500))
    model.fit([row["text"] for row in train_rows], [row["label"] for row in train_rows])

    expected = [row["label"] for row in test_rows]
    predicted = model.predict([row["text"] for row in test_rows])
    f1 = f1_score(expected, predicted, average="weighted")
    metrics = {"accuracy": accuracy_score(expected, predicted), "f1": {"weighted avg": f1}}
    columns = zip(test_rows, predicted, expected)
    found = [{"input": row["text"], "predicted": one, "expected": right} for row, one, right in columns]
    return Result(metrics, found, model)


def load(folder):
    model = joblib.load(folder / "model.joblib")
    return lambda text: model.predict([text])[0]
