"""Additions to the JUnit file that pytest wrote."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from xml.sax.saxutils import quoteattr

import pytest

from pytest_ibmodels.reports.junit import complete, properties
from tests.reports.html_samples import PASSED, TOO_LOW, TRAINING_FAILED

NODE = f"{TOO_LOW.nodeid}::test_training"


def junit(nodeid: str, inner: str) -> str:
    known = f'<properties><property name="nodeid" value={quoteattr(nodeid)}/></properties>'
    return f'<testsuites><testsuite><testcase name="t">{known}{inner}</testcase></testsuite></testsuites>'


def completed(nodeid: str, inner: str) -> ET.Element:
    runs = {run.nodeid: run for run in (PASSED, TOO_LOW, TRAINING_FAILED)}
    return ET.fromstring(complete(junit(nodeid, inner), runs))  # noqa: S314


def test_a_failure_gets_its_kind_and_a_message_of_one_line() -> None:
    failure = completed(NODE, '<failure message="a&#10;table">metrics: 2 of 4 ...</failure>').find(".//failure")
    assert failure is not None
    assert failure.get("type") == "metrics"
    assert failure.get("message") == "metrics: 2 of 4 metrics did not reach the minimum"
    assert failure.text == "metrics: 2 of 4 ..."


def test_a_fault_of_a_teardown_beside_our_failure_stays_as_it_is() -> None:
    root = completed(NODE, "<failure>metrics: 2 of 4 ...</failure><error message='m'>E  ZeroDivisionError</error>")
    error = root.find(".//error")
    assert error is not None
    assert (error.get("type"), error.get("message")) == (None, "m")


def test_the_log_goes_behind_what_the_test_printed() -> None:
    output = completed(f"{TRAINING_FAILED.nodeid}::test_training", "<system-out>printed\n</system-out>").find(
        ".//system-out"
    )
    assert output is not None
    assert str(output.text).startswith("printed\nlog of the training job, its last lines:\nloading data\n")
    assert str(output.text).endswith("RuntimeError: CUDA out of memory")


@pytest.mark.parametrize("line", ["\x1b[1;31mred\x1b[0m", "\x1b]8;;http://h\x07red\x1b]8;;\x07"])
def test_codes_of_a_terminal_do_not_get_into_the_file(line: str) -> None:
    run = TRAINING_FAILED.model_copy(update={"job_log": (line, "bell \x07 nul \x00 \ud800 é €")})
    root = ET.fromstring(complete(junit(f"{run.nodeid}::test_training", ""), {run.nodeid: run}))  # noqa: S314
    assert str(root.findtext(".//system-out")).endswith("red\nbell � nul � � é €")


def test_a_dot_in_a_name_makes_no_two_cases_one() -> None:
    names = [("Invoices", "eu.prod"), ("Invoices.eu", "prod"), ("Plain", "prod")]
    runs = [
        PASSED.model_copy(update={"nodeid": f"m.yaml::{test}::{environment}", "test": test, "environment": environment})
        for test, environment in names
    ]
    texts = [
        junit(f"{run.nodeid}::test_training", "").replace("name=", f'classname="m.yaml.{test}.{environment}" name=', 1)
        for run, (test, environment) in zip(runs, names, strict=True)
    ]
    known = {run.nodeid: run for run in runs}
    cases = [ET.fromstring(complete(text, known)).find(".//testcase") for text in texts]  # noqa: S314
    found = [case.get("classname") for case in cases if case is not None]
    assert found == ["m.yaml.Invoices::eu.prod", "m.yaml.Invoices.eu::prod", "m.yaml.Plain.prod"]


def test_other_test_cases_stay_as_they_are() -> None:
    case = '<testcase name="t"><failure type="x" message="m">f</failure></testcase>'
    text = f"<testsuites><testsuite>{case}</testsuite></testsuites>"
    assert complete(text, {TOO_LOW.nodeid: TOO_LOW}).endswith(text)


def test_properties_leave_out_what_is_not_known() -> None:
    names = [name for name, _ in properties(TOO_LOW, NODE)]
    assert "minimum.exact_match.Total" in names
    assert "observed.exact_match.Total" not in names
    assert "seconds.inference" not in names
    assert "documents_compared" not in names
    assert dict(properties(PASSED, f"{PASSED.nodeid}::test_inference"))["documents_compared"] == "2"
