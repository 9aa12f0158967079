"""Digits that tell a value from its bound, in every report, and texts that no CI server executes."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.engine.failures import MetricsFailure, TrainingFailure
from pytest_ibmodels.pytest.progress import ProgressReport, show
from pytest_ibmodels.pytest.records import _check as record_of
from pytest_ibmodels.reports.failure import failure_text
from pytest_ibmodels.reports.figures import compact, distinct_figures, figures
from pytest_ibmodels.reports.github import summary
from pytest_ibmodels.reports.junit import complete, properties
from pytest_ibmodels.reports.record import CheckRecord, TrainingRecord
from pytest_ibmodels.reports.summary import write_summary
from pytest_ibmodels.reports.tables import harmless, one_line, table
from pytest_ibmodels.verdicts.checks import MetricCheck, MetricsVerdict
from tests.reports.html_samples import TOO_LOW, run


def written(pytester: pytest.Pytester, *checks: CheckRecord, **training: Any) -> list[str]:
    out = io.StringIO()
    record = TrainingRecord(outcome="passed", checks=checks, **training)
    write_summary(pytest.TerminalReporter(pytester.parseconfig(), out), [run(job_id="j", training=record)])
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("observed", "minimum", "shown"),
    [
        (0.89996, 0.9, ("0.89996", "0.90000", "-0.00004", "too low by 0.00004")),
        (0.8999999, 0.9, ("0.8999999", "0.9000000", "-0.0000001", "too low by 0.0000001")),
        (0.9 - 2e-9, 0.9, ("0.899999998", "0.900000000", "-2e-09", "too low by 2e-09")),
        (0.9 - 1e-12, 0.9, ("0.9000", "0.9000", "+0.0000", "")),
        (0.90001, 0.9, ("0.90001", "0.90000", "+0.00001", "")),
        (0.5, 0.9, ("0.5000", "0.9000", "-0.4000", "too low by 0.4000")),
        (0.9, 1e300, ("0.9000", "1e+300", "-1e+300", "too low by 1e+300")),
    ],
)
def test_a_value_is_told_from_its_minimum(observed: float, minimum: float, shown: tuple[str, ...]) -> None:
    made = figures(MetricCheck("f1", "Name", minimum, observed))
    assert (made.observed, made.minimum, made.margin, made.missed) == shown


@given(st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_what_failed_never_looks_as_if_it_had_passed(observed: float, bound: float, as_maximum: bool) -> None:
    check = MetricCheck("f1", "Name", None if as_maximum else bound, observed, maximum=bound if as_maximum else None)
    made = figures(check)
    if check.passed:
        assert made.margin.startswith("+")
        assert made.missed == ""
        return
    assert made.observed not in {made.minimum, made.maximum}
    assert re.search("[1-9]", made.margin)
    assert made.margin.startswith("-")
    assert re.fullmatch(rf"too {'high' if as_maximum else 'low'} by .*[1-9].*", made.missed)
    assert compact(observed, bound) != compact(bound, observed)
    assert record_of(check).margin != 0 or abs(observed - bound) < 1e-9


@pytest.mark.parametrize(
    ("bounds", "required", "missed"),
    [
        ({"maximum": 0.4}, "at most 0.4000", "too high by 0.1000"),
        ({"minimum": 0.6}, "0.6000", "too low by 0.1000"),
        ({"minimum": 0.1, "maximum": 0.4}, "0.1000 to 0.4000", "too high by 0.1000"),
        ({"minimum": 0.6, "maximum": 0.9}, "0.6000 to 0.9000", "too low by 0.1000"),
    ],
)
def test_both_directions_have_their_words(bounds: dict[str, Any], required: str, missed: str) -> None:
    made = figures(MetricCheck("loss", "all", observed=0.5, **bounds))
    assert (made.required, made.missed, made.margin) == (required, missed, "-0.1000")


def test_values_side_by_side_are_distinct_figures() -> None:
    assert distinct_figures([0.90001, 0.90002, None]) == ["0.90001", "0.90002", "-"]
    assert distinct_figures([0.9, 0.9 + 1e-12]) == ["0.9000", "0.9000"]
    assert distinct_figures([0.5, -0.5]) == ["0.5000", "-0.5000"]


def test_the_terminal_has_a_column_for_what_there_is(pytester: pytest.Pytester) -> None:
    plain = record_of(MetricCheck("f1", "Name", 0.9, 0.95))
    assert "  metric  field  observed  minimum   margin" in written(pytester, plain)
    interval = record_of(MetricCheck("f1", "A", 0.9, 1.0, interval=(0.84, 1.0), remark="the minimum lies within"))
    loss = record_of(MetricCheck("loss", "all", maximum=0.4, observed=0.3))
    assert written(pytester, interval, loss)[-3:] == [
        "  metric  field  observed  minimum  maximum   margin  95 % interval",
        "  f1      A        1.0000   0.9000        -  +0.1000  0.84 to 1.00: the minimum lies within",
        "  loss    all      0.3000        -   0.4000  +0.1000",
    ]


def test_a_failure_shows_intervals_and_bounds() -> None:
    checks = (
        MetricCheck("f1", "A", 0.9, 0.85, interval=(0.7, 0.95), remark="the minimum lies within"),
        MetricCheck("loss", "all", maximum=0.4, observed=0.5),
    )
    verdict = MetricsVerdict(checks)
    lines = failure_text(MetricsFailure(verdict.what_failed, verdict), "model_tests.yaml:1").splitlines()
    assert lines[:5] == [
        "metrics: 2 of 2 metrics not within the bounds",
        "",
        "  metric  field        required  observed",
        "  f1      A              0.9000    0.8500  too low by 0.0500 (0.70 to 0.95: the minimum lies within)",
        "  loss    all    at most 0.4000    0.5000  too high by 0.1000",
    ]


def test_the_job_summary_shows_intervals_and_bounds() -> None:
    checks = (
        record_of(MetricCheck("f1", "A", 0.9, 0.89996, interval=(0.7, 0.95), remark="the minimum lies within")),
        record_of(MetricCheck("loss", "all", maximum=0.4, observed=0.5)),
    )
    text = summary([run(training=TrainingRecord(outcome="failed", checks=checks))])
    assert "| 0.89996 | 0.90000 | - | **-0.00004** | 0.70 to 0.95: the minimum lies within |" in text
    assert "| 0.5000 | - | 0.4000 | **-0.1000** |  |" in text


def test_properties_of_junit_have_bounds_intervals_and_names_that_xml_can_hold() -> None:
    check = MetricCheck(
        "f\x001", "Name\x0b\ud800", 0.9, 0.8999999, maximum=1.0, interval=(0.7, 0.95), remark="odd \x0c"
    )
    found = dict(properties(run(training=TrainingRecord(outcome="failed", checks=(record_of(check),))), "a\x0b::b"))
    assert found["observed.f\ufffd1.Name\ufffd?"] == "0.8999999"
    assert found["minimum.f\ufffd1.Name\ufffd?"] == "0.9"
    assert found["maximum.f\ufffd1.Name\ufffd?"] == "1"
    assert found["interval.f\ufffd1.Name\ufffd?"] == "0.7 0.95"
    assert found["remark.f\ufffd1.Name\ufffd?"] == "odd \ufffd"
    assert found["nodeid"] == "a\ufffd::b"


def test_a_node_id_that_xml_cannot_hold_is_found_again() -> None:
    odd = TOO_LOW.model_copy(update={"nodeid": "a\x0bb.yaml::Licences::staging"})
    name, value = next(iter(properties(odd, f"{odd.nodeid}::test_training")))
    text = f"<testsuites><testcase name='t'><properties><property name='{name}' value='{value}'/></properties>"
    text += "<failure>metrics: 2 of 4</failure></testcase></testsuites>"
    (failure,) = ET.fromstring(complete(text, {odd.nodeid: odd})).iter("failure")  # noqa: S314
    assert failure.get("type") == "metrics"


COMMANDS = ["::error::x", "  ::add-mask::x", "\t::stop-commands::x", "\u00a0::error::x", "::error file=a,line=1::x"]
COMMANDS += ["##[add-mask]x", "loss ##[error]x", "##vso[task.setvariable variable=a]b", "##teamcity[buildStop]"]
COMMANDS += ["\x1b[31m::error::x", "a\r::error::x"]
OBEYED = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("before", ["", "boom\n", "boom\r\n", "boom\n\n"])
def test_no_foreign_line_is_a_command(pytester: pytest.Pytester, before: str, line: str) -> None:
    text = f"{before}{line}"
    assert not OBEYED.search(harmless(text))
    assert not OBEYED.search(one_line(text))
    assert "\n" not in one_line(text)
    check = MetricCheck(text, text, 0.9, None, text, remark=text)
    verdict = MetricsVerdict((check,))
    for failure in (TrainingFailure(text, text), MetricsFailure(text, verdict)):
        assert not OBEYED.search(failure_text(failure, "model_tests.yaml:1"))
    assert not OBEYED.search("\n".join(table(("a", text), [(text, text)], indent="")))
    out = io.StringIO()
    config = pytester.parseconfig()
    reporter = pytest.TerminalReporter(config, out)
    config.pluginmanager.register(reporter, "terminalreporter")
    training = TrainingRecord(outcome="passed", checks=(record_of(check),))
    write_summary(reporter, [run(job_id=text, training=training, notes=(text,))])
    show(config, ProgressReport("a.py::test", text))
    assert not OBEYED.search(out.getvalue())


def test_ordinary_lines_stay_as_they_are() -> None:
    text = "a::b\nfile.py::test_x: C++ ::std\n## heading\n# a [link]\n  indented"
    assert harmless(text) == text


def test_an_undecided_verdict_is_said_in_every_report(pytester: pytest.Pytester) -> None:
    both = {"old": 0.82, "new": 0.815, "difference": -0.005, "low": -0.03, "high": 0.02}
    comparison = {"rows": 380, "learned": 20, "reason": "", "confidence": 0.9, "accuracy": None, "f1": both}
    comparison |= {"only_old_right": 12, "only_new_right": 10, "verdict": "undecided", "rows_to_decide": 9500}
    check = CheckRecord(
        metric="better_than_current",
        field="f1 weighted avg",
        minimum=0.81,
        observed=0.815,
        margin=0.005,
        passed=True,
        undecided=True,
    )
    part = {"unit": "rows", "count": 400, "fingerprint": "0123456789abcdef", "seed": 42, "split": "text"}
    part |= {"duplicates": 3, "labels_without_test_rows": ["odd two"]}
    lines = written(pytester, check, comparison=comparison, test_part=part)
    assert lines[-2].endswith("+0.0050  undecided")
    assert lines[-1] == (
        "  tested on 400 rows (split by text, seed 42, fingerprint 0123456789abcdef); 3 duplicates; without any row of "
        "'odd two'; 20 of them already learned by the model in use"
    )
    record = run(training=TrainingRecord(outcome="passed", checks=(check,), comparison=comparison, test_part=part))
    found = dict(properties(record, "n"))
    assert found["remark.better_than_current.f1 weighted avg"] == "undecided"
    assert found["comparison.verdict"] == "undecided"
    assert found["comparison.rows_to_decide"] == "9500"
    assert found["comparison.interval"] == "-0.03 0.02"
    assert found["test_part.fingerprint"] == "0123456789abcdef"
    assert found["test_part.labels_without_test_rows"] == "odd two"
    noted = record.model_copy(update={"notes": ("warning: better_than_current is undecided: x",)})
    assert "- Licences on dogfood: warning: better\\_than\\_current is undecided: x" in summary([noted])


def test_what_passed_without_a_job_is_not_said_to_be_trained(pytester: pytest.Pytester) -> None:
    out = io.StringIO()
    record = run(training={"outcome": "passed"}, inference={"outcome": "passed"})
    write_summary(pytest.TerminalReporter(pytester.parseconfig(), out), [record])
    assert "trained in" not in out.getvalue()
    assert "match training" not in out.getvalue()
