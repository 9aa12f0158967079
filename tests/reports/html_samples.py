"""Sample records of runs with every outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_ibmodels.reports.record import (
    BaselineRecord,
    ChangeRecord,
    CheckRecord,
    DifferenceRecord,
    FailureRecord,
    HistoryRecord,
    InferenceRecord,
    ModelReport,
    PackageRecord,
    RunRecord,
    SecondsRecord,
    SessionRecord,
    TestPartRecord,
    TrainingRecord,
    TrendRecord,
    WorseDocumentRecord,
)
from pytest_ibmodels.reports.wrong_record import ChangedRecord, ConfusionRecord, WrongRecord

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
FIELDS = ("DL Number", "Name", "Address", "Date of birth")
FOLDER = "acme/ci/fs/Drive/datasets/Licences_input/out/s2_map_records"


def check(metric: str, field: str, minimum: float, observed: float | None, problem: str = "") -> CheckRecord:
    return CheckRecord(
        metric=metric,
        field=field,
        minimum=minimum,
        observed=observed,
        margin=None if observed is None else observed - minimum,
        passed=observed is not None and observed >= minimum,
        problem=problem,
    )


def history(epochs: int = 6, fields: tuple[str, ...] = FIELDS) -> tuple[HistoryRecord, ...]:
    """Curves of a training in which each field improves at a different rate."""
    steps = epochs * 4
    losses = [
        HistoryRecord(epoch=step / 4, step=step, loss=round(2.4 / (1 + 0.4 * step) + 0.05 * (step % 3), 4))
        for step in range(1, steps + 1)
    ]
    metrics = [
        HistoryRecord(
            epoch=epoch,
            step=epoch * 4,
            metrics={
                name: {
                    field: round(max(0.0, 1 - (0.75 + 0.05 * start) * (0.3 + 0.05 * index) ** (epoch / 2)), 4)
                    for index, field in enumerate(fields)
                }
                for start, name in enumerate(("f1", "exact_match", "precision"))
            },
        )
        for epoch in range(1, epochs + 1)
    ]
    return tuple(sorted([*losses, *metrics], key=lambda point: point.step or 0))


def run(test: str = "Licences", environment: str = "dogfood", **facts: Any) -> RunRecord:
    known: dict[str, Any] = {
        "nodeid": f"model_tests.yaml::{test}::{environment}",
        "test": test,
        "environment": environment,
        "file": "model_tests.yaml",
        "line": 2,
    }
    return RunRecord.model_validate(known | facts)


def started(**facts: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "host": "https://dogfood.example.com",
        "route": "annotator",
        "job_id": "47ba1ab1d05d436abf83ad45943389ea",
        "package": PackageRecord(name="ibformers", version="0.2.0", content_hash="9f8e7d6c" * 8),
        "started": START,
        "finished": START + timedelta(minutes=6),
        "seconds": SecondsRecord(upload=1.2, queue=3.4, training=312.4),
        "links": {"job": "https://dogfood.example.com/jobs/47ba1ab1"},
    }
    return known | facts


PASSED = run(
    **started(
        seconds=SecondsRecord(upload=1.2, queue=3.4, training=312.4, inference=12.5),
        training=TrainingRecord(
            outcome="passed",
            checks=(
                check("f1", "DL Number", 0.95, 1.0),
                check("f1", "Name", 0.9, 0.9712),
                check("f1", "Address", 0.9, 0.9),
                check("exact_match", "DL Number", 0.8, 0.975),
            ),
            history=history(),
        ),
        inference=InferenceRecord(outcome="passed", documents=("a.ibocr", "b.ibocr"), fields=8, texts=8),
        job_log=("epoch 5 of 6", "epoch 6 of 6", "model written"),
    )
)

TOO_LOW = run(
    environment="staging",
    **started(
        training=TrainingRecord(
            outcome="failed",
            failure=FailureRecord(
                kind="metrics",
                reason="2 of 4 metrics did not reach the minimum",
                text="metrics: 2 of 4 ...\n  f1  Name",
            ),
            checks=(
                check("f1", "DL Number", 0.95, 0.9821),
                check("f1", "Name", 0.95, 0.6712),
                check("f1", "A field whose name is long enough to need more than the room there is", 0.9, 0.9903),
                check("exact_match", "Total", 0.9, None, "the model has no such field; its fields are DL Number, Name"),
            ),
            history=history(4, ("Name", "DL Number", "Address", "Sex", "Height", "Eyes", "Class", "Expires")),
        ),
        inference=InferenceRecord(outcome="skipped", reason="its training failed (metrics)"),
    ),
)

DIFFERING = run(
    test="Receipts",
    **started(
        training=TrainingRecord(outcome="passed", checks=(check("f1", "Total", 0.5, 0.93),)),
        inference=InferenceRecord(
            outcome="failed",
            failure=FailureRecord(
                kind="predictions differ", reason="3 of 12 fields differ from training", text="predictions differ: ..."
            ),
            documents=(f"{FOLDER}/a.ibocr", f"{FOLDER}/b.ibocr", f"{FOLDER}/c.ibocr"),
            fields=12,
            texts=11,
            differences=(
                DifferenceRecord(
                    document=f"{FOLDER}/a.ibocr", field="Name", at_training="Ada Lovelace", at_inference="Ada Lovelac"
                ),
                DifferenceRecord(document=f"{FOLDER}/a.ibocr", field="Total", at_training="12.50", at_inference=""),
                DifferenceRecord(
                    document=f"{FOLDER}/b.ibocr",
                    field="Address",
                    at_training="12 Long Acre Road, Apartment 4, Schenectady NY 12345",
                    at_inference="12 Long Acre Road Apartment 4,\nSchenectady NY 12346",
                ),
            ),
            unanswered={f"{FOLDER}/c.ibocr": "the Refiner returned no record for this document"},
        ),
        notes=("2 answers about job 47ba1ab1 were lost, the last one so: timed out",),
    ),
)

TRAINING_FAILED = run(
    test="Invoices",
    **started(
        training=TrainingRecord(
            outcome="failed",
            failure=FailureRecord(
                kind="training failed",
                reason="RuntimeError: CUDA out of memory",
                text="training failed: RuntimeError: CUDA out of memory\n\n  job | File train.py, line 12, in train\n"
                "  job | RuntimeError: CUDA out of memory\n\nmodel test: model_tests.yaml:2",
            ),
        ),
        inference=InferenceRecord(outcome="skipped", reason="its training failed (training failed)"),
        job_log=("loading data", "Traceback (most recent call last):", "RuntimeError: CUDA out of memory"),
    ),
)

NOT_STARTED = run(
    test="Passports",
    environment="away",
    training=TrainingRecord(
        outcome="failed",
        failure=FailureRecord(
            kind="environment unavailable",
            reason="nothing answers at http://127.0.0.1:9",
            text="environment unavailable",
        ),
    ),
)

SKIPPED = run(
    test="Cheques",
    training=TrainingRecord(outcome="skipped", reason="no data set yet"),
    inference=InferenceRecord(outcome="skipped", reason="no data set yet"),
)


def change(field: str, new: float, old: float, low: float | None, high: float | None, outcome: str) -> ChangeRecord:
    facts = {"metric": "f1", "field": field, "new": new, "old": old, "difference": round(new - old, 9)}
    facts |= {"low": low, "high": high, "outcome": outcome, "method": "documents", "count": 400}
    return ChangeRecord.model_validate(facts)


def baseline(outcome: str, *changes: ChangeRecord, **facts: Any) -> BaselineRecord:
    known: dict[str, Any] = {
        "name": "branch main",
        "outcome": outcome,
        "passed": outcome != "worse",
        "max_drop": 0.01,
        "if_undecided": "pass",
        "changes": changes,
        "started": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "commit": "0123456abcdef",
        "version": "1.4.0",
        "runs": 1,
    }
    return BaselineRecord.model_validate(known | facts)


WORSE = baseline(
    "worse",
    change("Name", 0.9012, 0.9346, -0.0493, -0.0181, "worse"),
    change("Total", 0.8120, 0.8144, -0.0192, 0.0139, "undecided").model_copy(update={"needed": 1704}),
    worse=[
        WorseDocumentRecord(document="in/17.ibdoc", fields=("Name", "Total")),
        WorseDocumentRecord(document="in/4.ibdoc", fields=("Name",)),
    ],
    worse_count=14,
)
"""The example of docs/history.md."""

TRENDS = (
    TrendRecord(
        metric="f1",
        field="Name",
        before=0.9460,
        after=0.9117,
        first=10,
        runs=12,
        started=datetime(2026, 3, 1, 12, tzinfo=UTC),
        commit="0123456abcdef",
        is_persistent=True,
    ),
)

SUNK = run(
    test="Receipts",
    **started(
        training=TrainingRecord(
            outcome="failed",
            failure=FailureRecord(
                kind="baseline", reason="1 of 2 metrics worse than branch main", text="baseline: 1 of 2 metrics ..."
            ),
            checks=(check("f1", "Name", 0.8, 0.9012),),
            baseline=WORSE,
            trends=TRENDS,
        ),
    ),
)

HELD = run(
    **started(
        training=TrainingRecord(
            outcome="passed",
            baseline=baseline(
                "holds",
                change("Name", 0.9712, 0.9650, -0.0031, 0.0142, "holds"),
                remarks=("the config is another one than that of the baseline",),
            ),
        ),
    ),
)

NOTHING_TO_COMPARE = run(
    test="Invoices",
    **started(
        training=TrainingRecord(
            outcome="passed",
            baseline=baseline(
                "undecided",
                problem="the history has no passed run of branch main",
                started=None,
                commit="",
                version="",
            ),
        ),
    ),
)


WHY = run(
    test="Reviews",
    **started(
        config={"batch_size": 2, "learning_rate": 5e-05},
        training=TrainingRecord(
            outcome="failed",
            failure=FailureRecord(
                kind="metrics",
                reason="1 of 2 metrics did not reach the minimum",
                text="metrics: 1 of 2 metrics did not reach the minimum\n  f1  good",
            ),
            checks=(check("f1", "good", 0.95, 0.93), check("f1", "bad", 0.95, 0.97)),
            test_part=TestPartRecord(unit="rows", count=80, fingerprint="15e235c97103116d", split="text", seed=42),
            wrong=(
                WrongRecord(
                    document=f"{FOLDER}/row-3",
                    field="Label",
                    expected="good",
                    predicted="goods",
                    score=0.97,
                    input="A lovely dress, and I wear it all the time, though the seams are not what they were",
                ),
                WrongRecord(document="row-17", field="Label", expected=None, predicted="bad"),
            ),
            wrong_count=12,
            confusions=(ConfusionRecord(expected="good", predicted="bad", count=12, of=80),),
            changed=ChangedRecord(started=START - timedelta(days=1), commit="0123456abcdef", facts=("the config",)),
        ),
        job_log=("epoch 5 of 6", "epoch 6 of 6"),
    ),
)
"""Wrong predictions, with and without what is known of them."""


def report(*runs: RunRecord, exit_status: int = 1) -> ModelReport:
    session = SessionRecord(
        started=START,
        finished=START + timedelta(minutes=7, seconds=4),
        exit_status=exit_status,
        plugin="0.2.0",
        pytest="9.2.0",
        python="3.11.9",
        commit="fedcba9876543210",
        branch="main",
        is_dirty=True,
    )
    return ModelReport(session=session, runs=runs)
