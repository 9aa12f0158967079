"""Terminal output: progress beside the letters of workers, environments side by side."""

from __future__ import annotations

import io

import pytest

from pytest_ibmodels.pytest.progress import (
    ProgressReport,
    note_letter,
    show,
)
from pytest_ibmodels.reports.summary import write_summary
from tests.reports.html_samples import (
    DIFFERING,
    NOT_STARTED,
    PASSED,
    SKIPPED,
    SUNK,
    TOO_LOW,
    TRAINING_FAILED,
    check,
)
from tests.reports.test_github import trained


def worker_report(when: str) -> pytest.TestReport:
    report = pytest.TestReport("a.py::test", ("a.py", 0, "test"), {}, "passed", None, when)  # type: ignore[arg-type]
    report.node = object()  # type: ignore[attr-defined]  # as xdist does
    return report


def test_progress_does_not_stand_behind_the_letters_of_workers(pytester: pytest.Pytester) -> None:
    config, out = pytester.parseconfig(), io.StringIO()
    reporter = pytest.TerminalReporter(config, out)
    config.pluginmanager.register(reporter, "terminalreporter")
    progress = ProgressReport("a.py::test", "training, 1 s")
    note_letter(config, worker_report("setup"))
    show(config, progress)
    reporter.write(".")
    note_letter(config, worker_report("call"))
    note_letter(config, worker_report("teardown"))
    show(config, progress)
    show(config, progress)
    assert out.getvalue() == "  training, 1 s\n.\n  training, 1 s\n  training, 1 s\n"


@pytest.mark.parametrize(
    ("other", "table"),
    [
        (
            0.75,
            [
                "  model test  field  metric       a    dogfood",
                "  Licences    Name   f1      0.5000 <   0.7500",
                "  < is the lowest of its row",
            ],
        ),
        (
            0.5,
            [
                "  model test  field  metric       a    dogfood",
                "  Licences    Name   f1      0.5000     0.5000",
            ],
        ),
    ],
    ids=["different", "equal"],
)
def test_environments_stand_side_by_side_and_the_lowest_is_marked(
    pytester: pytest.Pytester, other: float, table: list[str]
) -> None:
    out = io.StringIO()
    runs = [trained("a", check("f1", "Name", 0.5, 0.5)), trained("dogfood", check("f1", "Name", 0.5, other))]
    write_summary(pytest.TerminalReporter(pytester.parseconfig(), out), runs)
    assert out.getvalue().splitlines()[-len(table) :] == table


def test_every_run_has_a_line(pytester: pytest.Pytester) -> None:
    out = io.StringIO()
    reporter = pytest.TerminalReporter(pytester.parseconfig(), out)
    undecided = PASSED.training.model_copy(update={"outcome": "skipped", "reason": "not decided"})
    expected = TOO_LOW.training.model_copy(update={"outcome": "xfailed"})
    runs = [
        *(TOO_LOW, DIFFERING, TRAINING_FAILED, NOT_STARTED, SKIPPED, SUNK),
        PASSED.model_copy(update={"training": undecided, "inference": SKIPPED.inference}),
        TOO_LOW.model_copy(update={"training": expected}),
    ]
    write_summary(reporter, runs)
    lines = out.getvalue().partition("environments side by side")[0].splitlines()
    low = "2 of 4 metrics did not reach the minimum (f1 Name 0.6712 < 0.9500, exact_match Total: the model has no such "
    low += "field; its fields …)"
    assert [line for line in lines if ": failed" in line or ": skipped" in line] == [
        f"Licences on staging: failed: {low}",
        "Receipts on dogfood: failed: predictions differ: 3 of 12 fields differ from training",
        "Invoices on dogfood: failed: training failed: RuntimeError: CUDA out of memory",
        "Passports on away: failed: environment unavailable: nothing answers at http://127.0.0.1:9",
        "Receipts on dogfood: failed: baseline: 1 of 2 metrics worse than branch main (f1 Name 0.9012 < 0.9346)",
        "Licences on dogfood: skipped: not decided",
        f"Licences on staging: failed as expected: {low}",
    ]
