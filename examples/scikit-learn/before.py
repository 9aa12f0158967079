"""Train a spam filter on labelled mails, print how good it is, and save it."""

import argparse
import csv
import random

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mails.csv")
    parser.add_argument("--C", type=float, default=1.0)
    parser.add_argument("--ngrams", type=int, default=2)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", default="model.joblib")
    args = parser.parse_args()

    with open(args.data, newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(args.seed).shuffle(rows)
    train_rows, test_rows = rows[: int(0.8 * len(rows))], rows[int(0.8 * len(rows)) :]

    vectorizer = TfidfVectorizer(ngram_range=(1, args.ngrams))
    model = make_pipeline(vectorizer, LogisticRegression(C=args.C, max_iter=500))
    model.fit([row["text"] for row in train_rows], [row["label"] for row in train_rows])

    expected = [row["label"] for row in test_rows]
    predicted = model.predict([row["text"] for row in test_rows])
    print("accuracy:", accuracy_score(expected, predicted))
    print("F1:", f1_score(expected, predicted, average="weighted"))
    joblib.dump(model, args.output)


if __name__ == "__main__":
    main()
