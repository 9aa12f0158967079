"""Known difference between a new model and the one that it replaces."""

from __future__ import annotations

from typing import Any

import pytest

from ibformers.tasks.text_classification.promotion import known_difference

WORSE: dict[str, Any] = {
    "rows": 400,
    "learned": 0,
    "reason": "",
    "confidence": 0.9,
    "accuracy": None,
    "f1": {"old": 0.9, "new": 0.8, "difference": -0.1, "low": -0.13, "high": -0.07},
    "only_old_right": 50,
    "only_new_right": 10,
    "worse": [],
}
F1 = WORSE["f1"]


def known(version: str | None = "v1", **change: Any) -> tuple[str, bool]:
    found = known_difference({"comparison": WORSE | change, "compared_with": "v1"}, version)
    return found.sentence, found.is_certainly_worse


def test_a_difference_is_one_line() -> None:
    assert known() == (
        (
            "On the same 400 test rows, weighted F1 is 0.8000 and was 0.9000: a difference of -0.1000, 90 % interval "
            "-0.1300 to -0.0700."
        ),
        True,
    )


@pytest.mark.parametrize(
    ("change", "certain"),
    [
        ({"f1": F1 | {"high": -1e-12}}, False),
        ({"f1": F1 | {"high": 0.0}}, False),
        ({"f1": F1 | {"high": -1e-6}}, True),
        ({"rows": 29}, True),
        ({"rows": 29, "only_old_right": 5, "only_new_right": 0}, True),
        ({"rows": 29, "only_old_right": 4, "only_new_right": 0}, False),
        ({"rows": 30, "only_old_right": 4, "only_new_right": 0}, True),
        ({"learned": None}, False),
        ({"f1": None, "reason": "Too few."}, False),
    ],
)
def test_certain_is_only_what_the_whole_interval_says(change: dict[str, Any], certain: bool) -> None:
    assert known(**change)[1] is certain


def test_what_is_not_known_is_said() -> None:
    assert known_difference({}, "v1").sentence == (
        "Nothing is known of the difference from the model before: the training recorded no comparison."
    )
    assert known("v2")[0].endswith("the training compared with v1, which is not in use.")
    assert known(f1=None, reason="Too few.")[0] == "Too few."
    assert "how many of these rows the model before had learned from is not known" in known(learned=None)[0]
    for comparison in (None, {"rows": 1}, "x"):
        found = known_difference({"comparison": comparison, "current": {"version": "v1"}}, "v1")
        assert not found.is_certainly_worse
        assert found.sentence


def test_the_record_of_a_job_names_the_version_elsewhere() -> None:
    record = {"comparison": WORSE, "compared_with": "as downloaded", "current": {"version": "v1"}}
    assert known_difference(record, "v1").is_certainly_worse
    assert known_difference(record, "v1").verdict == "worse"
    assert known_difference(record, "as downloaded").verdict == "unknown"
    assert not known_difference(record, "as downloaded").is_certainly_worse


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "worse"),
        ({"f1": F1 | {"low": -0.01, "high": 0.01}}, "undecided"),
        ({"f1": F1 | {"low": 0.01, "high": 0.1}}, "better"),
        ({"f1": F1 | {"low": 0.01, "high": 0.1}, "rows": 29}, "undecided"),
        ({"f1": None, "reason": "Too few."}, "unknown"),
    ],
)
def test_the_verdict_is_one_word(change: dict[str, Any], verdict: str) -> None:
    assert known_difference({"comparison": WORSE | change, "compared_with": "v1"}, "v1").verdict == verdict
