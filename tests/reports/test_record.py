"""Records of runs: JSON round trip, and texts that UTF-8 cannot hold."""

from __future__ import annotations

from pytest_ibmodels.reports.record import ModelReport, RunRecord
from tests.reports.html_samples import DIFFERING, NOT_STARTED, PASSED, SKIPPED, TOO_LOW, TRAINING_FAILED, report, run


def test_a_report_is_the_same_after_its_way_through_json() -> None:
    whole = report(PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED, NOT_STARTED, SKIPPED)
    assert ModelReport.model_validate_json(whole.model_dump_json()) == whole
    assert RunRecord.model_validate(PASSED.model_dump(mode="json")) == PASSED


def test_texts_that_utf_8_cannot_hold_are_replaced() -> None:
    record = run(
        notes=("a \ud800 b",),
        links={"\udc00": "\ud800"},
        inference={"differences": [{"document": "\ud800", "field": "é", "at_training": "€", "at_inference": "\ud800"}]},
    )
    assert record.notes == ("a ? b",)
    assert record.links == {"?": "?"}
    assert record.inference.differences[0].at_training == "€"
    assert RunRecord.model_validate_json(record.model_dump_json()) == record
