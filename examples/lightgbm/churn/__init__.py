"""Train trees that tell which customers will leave."""

import lightgbm
import numpy as np

from ibformers.sdk import Job, Result, trainer

COLUMNS = ["months", "monthly_fee", "support_calls", "invoices_late"]


def features(rows):
    return np.array([[float(row[name]) for name in COLUMNS] for row in rows])


@trainer
def train(job: Job) -> Result:
    train_rows, test_rows = job.split(job.read_table())

    params = {"objective": "binary", "seed": job.seed, "verbose": -1, **job.config}
    data = lightgbm.Dataset(features(train_rows), [row["left"] == "yes" for row in train_rows], feature_name=COLUMNS)
    booster = lightgbm.train(params, data)

    predicted = ["yes" if score > 0.5 else "no" for score in booster.predict(features(test_rows))]
    expected = [row["left"] for row in test_rows]
    accuracy = np.mean(np.array(predicted) == expected)
    inputs = [{name: row[name] for name in COLUMNS} for row in test_rows]
    columns = zip(inputs, predicted, expected)
    found = [{"input": row, "predicted": one, "expected": right} for row, one, right in columns]
    return Result({"accuracy": accuracy}, found, lambda folder: booster.save_model(folder / "churn.txt"))


def load(folder):
    booster = lightgbm.Booster(model_file=folder / "churn.txt")
    return lambda row: "yes" if booster.predict(features([row]))[0] > 0.5 else "no"
