from __future__ import annotations

import json

import pytest

from pytest_ibmodels.engine.routes.annotator import refined_answer
from pytest_ibmodels.engine.routes.base import RouteError
from pytest_ibmodels.engine.routes.model_service import parse_predictions, training_state
from pytest_ibmodels.engine.routes.registry import route_for
from pytest_ibmodels.instabase.errors import UnexpectedAnswer
from pytest_ibmodels.instabase.wire import JobStatus, RefinedPhrase, RefinedRecord
from pytest_ibmodels.spec import ModelTest, TableSpec


def status(current: object = None, **fields: object) -> JobStatus:
    text = None if current is None else json.dumps(current)
    return JobStatus.model_validate({"status": "OK", "state": "PENDING", "cur_status": text, **fields})


def test_a_running_training_has_progress_and_metrics() -> None:
    data = {"progress": 0.4, "evaluation_results": {"f1": {"Name": 0.5}}}
    state = training_state(status({"task_state": "STARTED", "task_data": data}))
    assert (state.name, state.finished, state.fraction, state.metrics) == ("STARTED", False, 0.4, {"f1": {"Name": 0.5}})


def test_before_the_first_report_nothing_is_known() -> None:
    state = training_state(status())
    assert (state.name, state.finished, state.error, state.fraction, state.metrics) == (
        "PENDING",
        False,
        "",
        None,
        None,
    )


@pytest.mark.parametrize("name", ["DONE", "SUCCESS"])
def test_a_final_state_ends_it(name: str) -> None:
    state = training_state(status({"task_state": name, "task_data": {}}))
    assert state.finished
    assert not state.error


def test_an_error_status_ends_it_at_once_with_the_jobs_traceback() -> None:
    state = training_state(
        status(
            {"task_state": "STARTED"}, status="ERROR", msg="m", results=[{"error": "E: boom", "strace": "Traceback"}]
        )
    )
    assert (state.finished, state.error, state.job_traceback) == (True, "E: boom", "Traceback")


def test_a_job_that_the_environment_could_not_run_is_told_apart() -> None:
    failed = {"error": "no room", "fault": "environment"}
    states = [
        training_state(status({"task_state": "ERROR"}, status="ERROR", results=[result]))
        for result in (failed, {"error": "boom"}, {"error": "boom", "fault": ["odd"]})
    ]
    assert [(state.error, state.environment_fault) for state in states] == [
        ("no room", True),
        ("boom", False),
        ("boom", False),
    ]


def test_an_error_in_the_results_of_a_success_is_an_error() -> None:
    assert training_state(status({"task_state": "SUCCESS"}, results=[{"error": "late"}])).error == "late"


@pytest.mark.parametrize("name", ["ERROR", "FAILURE"])
def test_a_failed_state_without_reason_is_an_error(name: str) -> None:
    assert training_state(status({"task_state": name})).error == "the environment gave no reason"


@pytest.mark.parametrize("text", ["null", "[1]", "{", '"x"'])
def test_a_cur_status_of_another_form_is_no_answer(text: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="cur_status"):
        training_state(JobStatus(status="OK", cur_status=text))


def test_both_forms_of_predictions_are_read_in_their_order() -> None:
    flat = b'{"z": {"Name": {"text": "A", "avg_confidence": NaN}}, "a": {"Name": {"text": ""}}}'
    nested = b'{"z": {"is_test_file": true, "entities": {"Name": {"text": "A"}}}, "a": {"entities": {"Name": {}}}}'
    assert parse_predictions(flat).texts == parse_predictions(nested).texts == {"z": {"Name": "A"}, "a": {"Name": ""}}
    assert list(parse_predictions(flat).texts) == ["z", "a"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "predictions.json is not JSON"),
        (b"[]", "predictions.json holds a list, not an object with a key per document"),
        (b'{"a": 3}', "predictions.json, document a: "),
        (b'{"a": {"Name": {"text": 3}}}', "predictions.json, document a: Input should be a valid string"),
    ],
)
def test_what_is_no_predictions_file_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(RouteError, match=reason):
        parse_predictions(content)


def record(**phrase: str | None) -> RefinedRecord:
    return RefinedRecord(refined_phrases=[RefinedPhrase.model_validate({"label": "__model_result", **phrase})])


def test_an_answer_joins_the_words_of_a_field() -> None:
    answer = refined_answer(record(word='{"Total": [["12", 0.9], ["EUR", 0.8]], "Name": []}'))
    assert (answer.texts, answer.error) == ({"Total": "12 EUR", "Name": ""}, "")


@pytest.mark.parametrize("word", [None, "", "3", "{", '{"Total": 3}', '{"Total": [["12"]]}'])
def test_an_answer_of_another_form_is_an_error(word: str | None) -> None:
    assert "is not a JSON object of [text, score] pairs" in refined_answer(record(word=word)).error


def test_errors_of_the_refiner_are_passed_on() -> None:
    assert refined_answer(record(word="{}", error_msg="model crashed")).error == "model crashed"
    assert "gave no __model_result" in refined_answer(RefinedRecord()).error


def test_the_route_is_chosen_by_the_data() -> None:
    annotator = ModelTest(name="T", line=1, env=("e",), ibannotator="p", time_limit=1.0)
    table = ModelTest(name="T", line=1, env=("e",), ibannotator="", time_limit=1.0, table=TableSpec("t", ("a", "b")))
    assert [route_for(test).name for test in (annotator, table)] == ["annotator", "table"]
