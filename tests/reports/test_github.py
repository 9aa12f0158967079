"""The job summary, and environments side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.reports.comparison import side_by_side
from pytest_ibmodels.reports.github import MOST_BYTES, append_summary, summary
from pytest_ibmodels.reports.record import CheckRecord, FailureRecord, RunRecord, TrainingRecord
from tests.reports.html_samples import DIFFERING, NOT_STARTED, PASSED, SKIPPED, TOO_LOW, TRAINING_FAILED, check, run

if TYPE_CHECKING:
    from pathlib import Path


def trained(environment: str, *checks: CheckRecord, test: str = "Licences") -> RunRecord:
    return run(test, environment, training=TrainingRecord(outcome="passed", checks=checks))


def test_every_outcome_has_its_words() -> None:
    text = summary([PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED, NOT_STARTED, SKIPPED])
    for row in (
        "| Licences | dogfood | ✅ passed | ✅ passed | upload 1.2, queue 3.4, training 312.4, inference 12.5 | [job](",
        "| Licences | staging | ❌ metrics | skipped (its training failed (metrics)) |",
        "| Receipts | dogfood | ✅ passed | ❌ predictions differ |",
        "| Invoices | dogfood | ❌ training failed |",
        "| Passports | away | ❌ environment unavailable | not run |  |  |",
        "| Cheques | dogfood | skipped (no data set yet) | skipped (no data set yet) |",
        "| Licences | staging | f1 | Name | 0.6712 | 0.9500 | **-0.2788** |",
        "| Licences | staging | exact\\_match | Total | - | 0.9000 | **the model has no such field; its fields are",
        "| Licences | Name | f1 | 0.9712 | **0.6712** |",
        "<details><summary>Invoices on dogfood: training: training failed</summary>",
    ):
        assert row in text


@pytest.mark.parametrize("name", ["a|b", "`x`", "<b>", "[x](y)", "two\nlines", "**"])
def test_names_cannot_break_the_tables(name: str) -> None:
    (row,) = (line for line in summary([trained("e", check("f1", name, 0.5, 1.0))]).splitlines() if "f1" in line)
    assert row.replace("\\|", "").count("|") == 8
    assert "<" not in row.replace("\\<", "")


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    failure = FailureRecord(kind="error", reason="r", text="a ```` b\n# no heading")
    text = summary([run(training=TrainingRecord(outcome="failed", failure=failure))])
    assert "\n`````text\na ```` b\n# no heading\n`````\n" in text


@pytest.mark.parametrize("room", [0, 10, 60, 300, 1000, 5000])
def test_what_does_not_fit_is_left_out_from_the_end(room: int) -> None:
    text = summary([PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED], room)
    assert len(text.encode()) <= room
    whole = summary([PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED])
    kept, _, rest = text.partition("\n*The rest is left out")
    assert whole.startswith(kept)
    assert bool(rest) == (60 <= room < len(whole.encode()))


def test_the_whole_file_stays_below_githubs_limit(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("é" * (MOST_BYTES // 2 - 2000))
    failing = [TRAINING_FAILED.model_copy(update={"test": f"Test{number}"}) for number in range(200)]
    append_summary(file, failing)
    assert MOST_BYTES - 2000 < file.stat().st_size < MOST_BYTES
    assert file.read_text().endswith("*The rest is left out: a summary may have 1 MiB.*\n")
    append_summary(file, failing)
    assert file.stat().st_size < MOST_BYTES


def test_the_lowest_is_marked_where_environments_differ() -> None:
    runs = [
        trained("b", check("f1", "Name", 0.5, 0.75), check("f1", "Total", 0.5, 1.0)),
        trained("a", check("f1", "Name", 0.5, 0.5), check("f1", "Total", 0.5, 1.0)),
        trained("c", check("f1", "Name", 0.5, 0.5), check("f1", "Total", 0.5, None, "no such field")),
        trained("b", check("f1", "Name", 0.5, 1.0), test="Alone"),
    ]
    compared = side_by_side(runs)
    assert compared.environments == ("a", "b", "c")
    assert [(row.field, row.observed, sorted(row.worst)) for row in compared.rows] == [
        ("Name", (0.5, 0.75, 0.5), [0, 2]),
        ("Total", (1.0, 1.0, None), []),
    ]


def test_one_environment_has_nothing_beside_it() -> None:
    assert side_by_side([PASSED, NOT_STARTED, SKIPPED]).rows == ()
