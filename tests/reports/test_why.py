"""Why a training failed: the worst predictions, confusions, changes, and red lines."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from _pytest._io import TerminalWriter

from pytest_ibmodels.engine.case import Case, Run
from pytest_ibmodels.engine.failures import RunFailure, TrainingFailure, verdict_failure
from pytest_ibmodels.history.changes import changed_since
from pytest_ibmodels.history.runs import StoredRun
from pytest_ibmodels.reports.failure import failure_text
from pytest_ibmodels.spec import ModelTest
from pytest_ibmodels.verdicts.changed import ChangedSince
from pytest_ibmodels.verdicts.checks import MetricCheck, MetricsVerdict
from pytest_ibmodels.verdicts.results import Labels, TrainingPredictions, WrongPrediction

if TYPE_CHECKING:
    from pytest_ibmodels.reports.lines import FailureText

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TEST = ModelTest(name="Reviews", env=("e",), line=3, ibannotator="p.ibannotator", time_limit=60)
RESULTS = {f"row-{number}": {"Label": Labels("good", "bad" if number < 12 else "good")} for number in range(80)}
WRONG = tuple(
    WrongPrediction(f"row-{number}", "Label", "good", "bad", 0.9 - number / 100, "a fine\n::error::dress" * 9)
    for number in range(12)
)
CHECKS = (MetricCheck("f1", "good", 0.9, 0.81), MetricCheck("f1", "bad", 0.5, 0.6))


def text_of(failure: RunFailure | None = None) -> FailureText:
    verdict = MetricsVerdict(CHECKS, changed=ChangedSince(START, "0123456789abcdef", ("package r 1.0.0 -> 2.0.0",)))
    failure = failure or verdict_failure(verdict)
    assert failure is not None
    predicted = TrainingPredictions({}, RESULTS, WRONG)
    failure.run = Run(Case(TEST, "e"), predicted=predicted, job_log=tuple(f"line {number}" for number in range(9)))
    return failure_text(failure, "model_tests.yaml:3")


def test_a_failure_shows_what_a_person_needs() -> None:
    assert text_of().splitlines()[6:] == [
        "wrong predictions: 12 of 80, the worst 10",
        "  document or row  expected  predicted  score  input",
        *(
            f"  row-{number}            'good'    'bad'       {0.9 - number / 100:.2f}  "
            "'a fine\\n::error::dressa fine\\n::error::dre…"
            for number in range(10)
        ),
        "",
        "labels predicted in place of others:",
        "  good -> bad: 12 of 80",
        "",
        "changed since the last passed run (2026-03-02 09:30 UTC, commit 012345678): package r 1.0.0 -> 2.0.0",
        "",
        "model test: model_tests.yaml:3",
        "environment: e",
        "",
        "log of the training job, its last lines:",
        *(f"  log | line {number}" for number in range(4, 9)),
    ]


def test_misses_are_red_on_a_terminal_with_colours_only() -> None:
    text = text_of()
    assert sorted(text.red) == [0, 3, *range(8, 18)]
    written = {}
    for has_colours in (True, False):
        out = io.StringIO()
        writer = TerminalWriter(out)
        writer.hasmarkup = has_colours
        text.toterminal(writer)
        written[has_colours] = out.getvalue()
    assert written[False] == f"{text}\n"
    lines = written[True].splitlines()
    assert [number for number, line in enumerate(lines) if "\x1b[31m" in line] == sorted(text.red)


def test_a_training_that_did_not_end_shows_its_whole_log_and_no_predictions() -> None:
    text = text_of(TrainingFailure("RuntimeError: boom"))
    assert "wrong predictions" not in text
    assert "line 0" in text


def test_what_changed_between_two_runs() -> None:
    old = StoredRun("1", "p", "t", "e", START, "passed", "r", "1.0.0", "a" * 64, "c1", "f1", 1, "c" * 40)
    assert changed_since(replace(old, id="2"), old) == ChangedSince(START, "c" * 40)
    new = replace(old, version="2.0.0", content_hash="b" * 64, config_hash="c2", fingerprint="", hardware="x86_64")
    assert changed_since(replace(new, seed=2, is_dirty=True), old).facts == (
        "package r 1.0.0 -> r 2.0.0",
        "content of the package aaaaaaaaaaaa -> bbbbbbbbbbbb",
        "the config",
        "the test part (fingerprint f1 -> unknown)",
        "files that are not committed",
        "hardware unknown -> x86_64",
    )
    assert changed_since(replace(old, seed=2, commit=""), old).facts == ("seed 1 -> 2", "commit ccccccccc -> unknown")
