"""Model tests with a baseline, or that fail on trends, as a team uses them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.history.store import History
from tests.history.conftest import Documents, Sinking, git, history_of

if TYPE_CHECKING:
    from pytest_ibmodels.history.runs import StoredRun


def test_a_branch_is_held_to_main(documents: Documents) -> None:
    documents.run(90).assert_outcomes(passed=2)
    git(documents.folder, "checkout", "-qb", "feature")
    documents.run(90, "--model-baseline=main").assert_outcomes(passed=2)
    result = documents.run(75, "--model-baseline=main")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*baseline: 1 of 1 metrics worse than branch main",
            "*compared with branch main: got worse*",
            "*exact_match  Name   0.7500    0.9000     -0.1500  -0.2*worse*",
            "*got worse: in/75.ibdoc (Name), in/76.ibdoc (Name)* and 5 more",
        ]
    )
    result = documents.run(88, "--model-baseline=main", "-n1")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*warning: compared with branch main: undecided*", "*undecided (about * would decide)*"]
    )


def test_a_tag_and_the_previous_run(documents: Documents) -> None:
    documents.run(90)
    git(documents.folder, "tag", "v1")
    documents.write(baseline={"tag": "v1"})
    documents.commit("second")
    documents.run(70).assert_outcomes(failed=1, skipped=1)
    documents.write(baseline="previous")
    # What failed is nothing to be held to.
    result = documents.run(70)
    result.stdout.fnmatch_lines(["*baseline: 1 of 1 metrics worse than the previous run"])
    documents.write()
    documents.run(70)
    documents.write(baseline="previous")
    documents.run(70).assert_outcomes(passed=2)
    documents.write(baseline={"tag": "v2"})
    result = documents.run(70)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*warning: not compared with tag v2: git knows no tag 'v2' here: *"])


def test_what_a_branch_has_not_committed_is_no_baseline(documents: Documents) -> None:
    documents.write(marks="nightly")
    documents.run(90)
    result = documents.run(80, "--model-baseline=main")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*not compared with branch main: the history has no passed run of branch main"])


@pytest.mark.parametrize(
    ("undecided", "outcomes"),
    [("pass", {"passed": 2}), ("fail", {"failed": 1, "skipped": 1}), ("skip", {"passed": 1, "skipped": 1})],
)
def test_the_first_run_has_nothing_to_be_held_to(
    documents: Documents, undecided: str, outcomes: dict[str, int]
) -> None:
    documents.write(baseline={"branch": "main", "undecided": undecided})
    result = documents.run(90, "-rs")
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines(["*the history has no passed run of branch main*"])


def test_a_baseline_needs_a_history(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    documents.run(90)
    for value, reason in (
        ("none", "this project keeps no history"),
        (
            "postgresql+psycopg://me:hunter2@127.0.0.1:1/none",
            "the history postgresql+psycopg://me:[*][*][*]@127.0.0.1:1/",
        ),
    ):
        monkeypatch.setenv("IBMODELS_HISTORY", value)
        result = documents.run(90, "--model-baseline=main")
        result.assert_outcomes(failed=1, skipped=1)
        result.stdout.fnmatch_lines([f"*baseline: not decided against branch main: {reason}*"])
    assert history_of(documents.sinking.project).exists()


def sunk(first: StoredRun, number: int) -> StoredRun:
    """Return a run that came before; the first F1 falls by a point each time."""
    name, *others = first.metrics
    metrics = (replace(name, value=0.97 - 0.01 * number), *others)
    started = first.started - timedelta(days=20 - number)
    return replace(first, id=uuid.uuid4().hex, started=started, metrics=metrics)


def test_a_trend_fails_a_test_that_says_so(sinking: Sinking) -> None:
    sinking.write_tests({"trend": "fail"})
    sinking.run(0.86, "-m", "training").assert_outcomes(passed=1, deselected=1)
    with History.open(f"sqlite:///{history_of(sinking.project)}") as history:
        (first,) = history.runs(sinking.project.pytester.path.name)
        history.add(*(sunk(first, number) for number in range(1, 11)))
    result = sinking.run(0.85, "-m", "training")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        ["*trend: 1 metric got worse over several runs", "*trend: f1 of Name got worse and stays so: *"]
    )
