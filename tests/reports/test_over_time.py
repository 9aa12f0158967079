"""Baselines and trends in the terminal, the job summary, annotations, and JUnit XML."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from pytest_ibmodels.reports.baselines import baseline_lines
from pytest_ibmodels.reports.github import summary
from pytest_ibmodels.reports.github_annotations import annotation_commands
from pytest_ibmodels.reports.junit import properties
from pytest_ibmodels.reports.summary import write_summary
from pytest_ibmodels.reports.trends import trend_lines
from tests.reports.html_samples import HELD, NOTHING_TO_COMPARE, SUNK, WORSE, baseline, change

HISTORY = (Path(__file__).parents[2] / "docs" / "history.md").read_text(encoding="utf-8")


def annotated(*, with_failures: bool = False) -> list[str]:
    runs = (HELD, SUNK, NOTHING_TO_COMPARE)
    return [line for run in runs for line in annotation_commands(run, "a/b.yaml", str, with_failures=with_failures)]


def test_the_example_of_the_docs_is_what_is_printed() -> None:
    assert "```text\n" + "".join(f"{line}\n" for line in baseline_lines(WORSE)) + "```\n" in HISTORY
    (trend,) = trend_lines(SUNK)
    assert f"```\n{trend}\n```\n" in HISTORY


def test_a_baseline_of_a_passed_training_is_in_the_summary(pytester: pytest.Pytester) -> None:
    out = io.StringIO()
    write_summary(pytest.TerminalReporter(pytester.parseconfig(), out), [HELD, NOTHING_TO_COMPARE])
    found = [line for line in out.getvalue().splitlines() if not line.startswith(("=", "L", "I"))]
    assert found == [
        "  compared with branch main: holds (a drop of 0.0100 is allowed)",
        (
            "    newest passed run: 2026-03-01 12:00 UTC, commit 0123456ab, version 1.4.0; measured on the same 400 "
            "documents or rows"
        ),
        "    metric  field     new  baseline  difference  90 % interval       verdict",
        "    f1      Name   0.9712    0.9650     +0.0062  -0.0031 to +0.0142  holds",
        "    the config is another one than that of the baseline",
        "  warning: not compared with branch main: the history has no passed run of branch main",
    ]


def test_metrics_that_were_compared_in_several_ways_are_named() -> None:
    loss = change("all", 0.31, 0.30, None, None, "undecided")
    loss = loss.model_copy(update={"metric": "loss", "method": "values", "count": 0})
    lines = baseline_lines(baseline("undecided", *WORSE.changes, loss, name="the previous run"))
    assert lines[0].startswith("warning: compared with the previous run: undecided")
    assert lines[1].endswith(
        "; f1 measured on the same 400 documents or rows; loss compared as two values, whose spread is unknown"
    )
    assert lines[-1].split() == ["loss", "0.3100", "0.3000", "+0.0100", "-", "undecided", "(spread", "unknown)"]


def test_the_job_summary_has_a_section_for_each_baseline() -> None:
    tagged = HELD.training.baseline and HELD.training.baseline.model_copy(update={"name": "tag v1|2"})
    other = HELD.model_copy(update={"training": HELD.training.model_copy(update={"baseline": tagged})})
    text = summary([HELD, SUNK, NOTHING_TO_COMPARE, other])
    assert re.findall("### Compared.*", text) == ["### Compared with branch main", "### Compared with tag v1\\|2"]
    for part in (
        "| model test | environment | metric | field | new | baseline | difference | 90 % interval | verdict |\n",
        "| Licences | dogfood | f1 | Name | 0.9712 | 0.9650 | +0.0062 | -0.0031 to +0.0142 | holds |\n",
        "| Receipts | dogfood | f1 | Name | 0.9012 | 0.9346 | -0.0334 | -0.0493 to -0.0181 | **worse** |\n",
        "| **undecided (about 1,704 would decide)** |\n\n- ✅ Licences on dogfood: holds (a drop of ",
        "- ❌ Receipts on dogfood: got worse (a drop of 0.0100 is allowed); newest ",
        "- ⚠️ Invoices on dogfood: not compared: the history has no passed run of branch main\n",
        (
            "<details><summary>Receipts on dogfood: 14 documents or rows got worse</summary>\n\n"
            "- in/17.ibdoc: Name, Total\n- in/4.ibdoc: Name\n- and 12 more\n\n</details>\n"
        ),
        "\n> [!WARNING]\n> Metrics that got worse over several runs:\n>\n> - Receipts on dogfood: f1 of Name got ",
    ):
        assert part in text


def test_trends_and_undecided_baselines_are_warnings_on_the_line_of_the_model_test() -> None:
    assert annotated() == [
        (
            "::warning file=a/b.yaml,line=2,title=Receipts on dogfood::"
            "f1 of Name got worse and stays so: 0.9460 before, 0.9117 since run 10 of 12 (2026-03-01 12:00 UTC, commit "
            "0123456ab)"
        ),
        (
            "::warning file=a/b.yaml,line=2,title=Invoices on dogfood::"
            "not compared with branch main: the history has no passed run of branch main"
        ),
    ]


def test_a_worse_baseline_is_an_error_unless_another_plugin_annotates_it() -> None:
    (error,) = set(annotated(with_failures=True)) - set(annotated())
    assert error == (
        "::error file=a/b.yaml,line=2,title=Receipts on dogfood::compared with branch main: got worse (a drop of "
        "0.0100 is allowed)%0A"
        "f1 of Name: 0.9012, baseline 0.9346, difference -0.0334 (90 %25 interval -0.0493 to -0.0181): worse%0A"
        "f1 of Total: 0.8120, baseline 0.8144, difference -0.0024 (90 %25 interval -0.0192 to +0.0139): "
        "undecided (about 1,704 would decide)"
    )


def test_no_text_of_a_training_is_a_command_of_its_own() -> None:
    bad = "x\n::add-mask::y\r##[stop-commands]z,%"
    trend = SUNK.training.trends[0].model_copy(update={"field": bad})
    run = SUNK.model_copy(
        update={"test": bad, "training": SUNK.training.model_copy(update={"trends": [trend], "baseline": None})}
    )
    (line,) = annotation_commands(run, "a,b:c%.yaml", lambda text: text.replace("mask", "***"), with_failures=True)
    assert len(line.splitlines()) == 1
    assert line.startswith(
        "::warning file=a%2Cb%3Ac%25.yaml,line=2,title=x %3A%3Aadd-***%3A%3Ay\ufffd# #[stop-commands]z%2C%25"
    )
    assert "##[" not in line
    assert "mask" not in line


def test_junit_has_each_metric_of_the_baseline_and_each_trend() -> None:
    found = [(name, value) for name, value in properties(SUNK, "n") if name.startswith(("baseline", "trend"))]
    assert found == [
        ("baseline", "branch main"),
        ("baseline.outcome", "worse"),
        ("baseline.commit", "0123456abcdef"),
        ("baseline.version", "1.4.0"),
        ("baseline.documents_worse", "14"),
        ("baseline.new.f1.Name", "0.9012"),
        ("baseline.old.f1.Name", "0.9346"),
        ("baseline.difference.f1.Name", "-0.0334"),
        ("baseline.interval.f1.Name", "-0.0493 -0.0181"),
        ("baseline.verdict.f1.Name", "worse"),
        ("baseline.new.f1.Total", "0.812"),
        ("baseline.old.f1.Total", "0.8144"),
        ("baseline.difference.f1.Total", "-0.0024"),
        ("baseline.interval.f1.Total", "-0.0192 0.0139"),
        ("baseline.verdict.f1.Total", "undecided"),
        (
            "trend",
            (
                "f1 of Name got worse and stays so: 0.9460 before, 0.9117 since run 10 of 12 "
                "(2026-03-01 12:00 UTC, commit 0123456ab)"
            ),
        ),
    ]
    (problem,) = (value for name, value in properties(NOTHING_TO_COMPARE, "n") if name == "baseline.problem")
    assert problem == "the history has no passed run of branch main"
