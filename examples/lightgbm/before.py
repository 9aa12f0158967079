"""Train trees that tell which customers will leave."""

import argparse
import csv
import random

import lightgbm
import numpy as np

COLUMNS = ["months", "monthly_fee", "support_calls", "invoices_late"]


def features(rows):
    return np.array([[float(row[name]) for name in COLUMNS] for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="churn.csv")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--leaves", type=int, default=15)
    parser.add_argument("--learning-rate", type=float, default=0.2)
    args = parser.parse_args()

    with open(args.data, newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(42).shuffle(rows)
    train_rows, test_rows = rows[:320], rows[320:]

    params = {"objective": "binary", "num_leaves": args.leaves, "learning_rate": args.learning_rate, "verbose": -1}
    data = lightgbm.Dataset(features(train_rows), [row["left"] == "yes" for row in train_rows], feature_name=COLUMNS)
    booster = lightgbm.train(params, data, args.rounds)

    predicted = ["yes" if score > 0.5 else "no" for score in booster.predict(features(test_rows))]
    expected = [row["left"] for row in test_rows]
    print("accuracy:", np.mean(np.array(predicted) == expected))
    booster.save_model("churn.txt")


if __name__ == "__main__":
    main()
