"""Nothing passes that should not, in any way in which the original clients let it; and no case ends a whole run."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.engine.failures import (
    CheckFailure,
    InferenceFailure,
    MetricsFailure,
    PredictionsFailure,
    RunFailure,
    TimeLimitFailure,
    VerdictFailure,
    phase_failure,
)
from pytest_ibmodels.engine.routes.base import (
    RouteError,
    RunContext,
    TrainingState,
)
from pytest_ibmodels.engine.routes.model_service import training_state
from pytest_ibmodels.instabase.wire import JobStatus
from pytest_ibmodels.spec import SpecError, load
from pytest_ibmodels.verdicts.predictions import Answer
from pytest_ibmodels.verdicts.results import TrainingPredictions
from tests.engine.test_case_runner import GOOD, FakeRoute, failure, tell
from tests.faults.engine import model_test, session
from tests.faults.proxy import Fault, FaultProxy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_ibmodels.spec import ModelTest
    from tests.plugin.conftest import Project, Server

LOW = {"f1": {"Name": 0.1}}
HIGH = {"f1": {"Name": 1.0}}


def ended(metrics: Mapping[str, object] | None) -> TrainingState:
    return TrainingState("DONE", finished=True, metrics=metrics)


def test_a_good_early_epoch_does_not_hide_a_bad_end() -> None:
    run = tell(FakeRoute(TrainingState("STARTED", fraction=0.5, metrics=HIGH), ended(LOW)))
    assert isinstance(failure(run), MetricsFailure)


def test_metrics_that_were_reported_before_do_not_stand_in_for_those_of_the_end() -> None:
    run = tell(FakeRoute(TrainingState("STARTED", fraction=0.5, metrics=HIGH), ended(None)))
    assert isinstance(failure(run), MetricsFailure)


@pytest.mark.parametrize("metrics", [HIGH, LOW, None])
def test_a_job_that_does_not_end_in_time_fails_whatever_its_metrics(metrics: Mapping[str, object] | None) -> None:
    run = tell(FakeRoute(TrainingState("STARTED", fraction=0.9, metrics=metrics)))
    assert isinstance(failure(run), TimeLimitFailure)


@pytest.mark.parametrize("value", ["NAN", "NaN", float("nan"), None, "1.0", True, [1.0]])
def test_what_is_no_number_is_no_metric(value: object) -> None:
    run = tell(FakeRoute(ended({"f1": {"Name": value}})))
    assert isinstance(failure(run), MetricsFailure)


def test_without_inference_the_metrics_are_judged_all_the_same(server: Server) -> None:
    with session(server.url) as one:
        run = one.run(model_test("Low", metrics={"f1": {"Name": 1.01}}), with_inference=False)["Low"]
    assert isinstance(failure(run), MetricsFailure)


@pytest.mark.parametrize(
    "answers",
    [
        [{}],
        [{"other": Answer({"Name": "x"})}],
        [{"doc": Answer({}, "the model crashed")}],
        [RouteError("the Refiner failed")],
        [None],
    ],
    ids=["nothing", "another document", "an error", "a failed job", "never an end"],
)
def test_a_refiner_that_does_not_answer_compares_nothing_and_passes_nothing(answers: list[object]) -> None:
    run = tell(FakeRoute(GOOD, answers=answers))
    assert isinstance(phase_failure(run.inference), InferenceFailure)


@pytest.mark.parametrize("texts", [{}, {"Name": "x", "Total": "1"}], ids=["fewer", "more"])
def test_a_field_that_only_one_side_has_is_a_difference(texts: dict[str, str]) -> None:
    run = tell(FakeRoute(GOOD, answers=[{"doc": Answer(texts)}]))
    assert isinstance(phase_failure(run.inference), PredictionsFailure)


def test_training_that_predicted_no_document_leaves_nothing_to_compare_and_fails() -> None:
    class Silent(FakeRoute):
        async def training_predictions(self, context: RunContext, test: ModelTest) -> TrainingPredictions:
            return TrainingPredictions({}, {})

    run = tell(Silent(GOOD))
    assert isinstance(phase_failure(run.inference), InferenceFailure)


def test_a_name_that_matches_nothing_is_no_success(served: Project) -> None:
    served.write_tests(Invoices={})
    assert served.run("-k", "Invoces", "--collect-only").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_an_environment_is_meant_by_its_whole_name(tmp_path: Path) -> None:
    (tmp_path / "environments.yaml").write_text("dogfood: {host: sandbox}\n")
    (tmp_path / "model_tests.yaml").write_text(
        "A: {env: dog, ibannotator: a/b/fs/D/x.ibannotator, time_limit: 1}\n"
        "B: {env: xdogfood, ibannotator: a/b/fs/D/x.ibannotator, time_limit: 1}\n"
    )
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "model_tests.yaml", tmp_path / "environments.yaml")
    assert "unknown environment `dog`" in str(caught.value)
    assert "unknown environment `xdogfood`" in str(caught.value)


@pytest.mark.parametrize("current", [None, "{}", '{"task_state": null, "task_data": null}'])
def test_null_metadata_ends_nothing(current: str | None) -> None:
    state = training_state(JobStatus(status="OK", state="PENDING", cur_status=current))
    assert (state.finished, state.metrics) == (False, None)


def test_one_bad_case_of_each_kind_leaves_the_others_alone(server: Server) -> None:
    refusal = Fault("refusal", body='{"status": "ERROR", "msg": "no"}')
    with FaultProxy(server.url) as proxy:
        # A refused start, and an inference that cannot begin, of whichever case comes first.
        proxy.plan("POST model-service/run_train", refusal)
        with session(proxy.url) as one:
            runs = one.run(
                model_test("with-a-dash"),
                model_test("Good"),
                model_test("Boom", config={"raise": "boom"}),
                model_test("Slow", config={"sleep": 60}, time_limit=10.0),
                model_test("Odd", config={"results": None}, metrics={"f1": {"Name": 0.1}}),
                model_test("Null", config={"results": {"f1": None}}, metrics={"f1": {"Name": 0.1}}),
            )
    kinds = {name: _kind(phase_failure(run.training)) for name, run in runs.items()}
    assert sorted(kinds.values()).count("submit") == 1
    expected = {"with-a-dash": "", "Good": "", "Boom": "training failed", "Slow": "time limit", "Odd": "metrics"}
    expected["Null"] = "metrics"
    wrong = {name: kind for name, kind in kinds.items() if kind not in {expected[name], "submit"}}
    assert wrong == {}
    assert one.left_behind == []
    assert server.left_over() == []


def _kind(error: BaseException | None) -> str:
    assert error is None or isinstance(error, RunFailure)
    return "" if error is None else error.kind


def test_what_is_in_percent_passes_no_minimum_and_says_so(served: Project) -> None:
    percent = {"f1": {"Name": 41.7}, "exact_match": {"Name": 12.0}, "accuracy": {"all": 35}, "recall": {"Name": -1}}
    served.write_tests(
        Percent={
            "config": {"results": percent},
            "metrics": {"f1": {"Name": 0.9}, "exact_match": {"Name": 0.9}, "accuracy": 0.9, "recall": {"Name": 0.0}},
        },
        Meant={"config": {"results": percent}, "metrics": {"f1": {"Name": 41}}},
        Loss={
            "config": {"results": {"loss": 0.5, "rmse": {"Name": 3, "Total": 1}}},
            "metrics": {"loss": {"max": 0.4}, "rmse": {"Name": {"max": 3}, "Total": {"min": 0.5, "max": 1.5}}},
        },
    )
    result = served.run()
    result.assert_outcomes(passed=2, failed=2, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "metrics: 4 of 4 metrics did not reach the minimum",
            "  f1 *Name *0.9000 *-  reported as 41.7, above 1: is it in percent[?]",
            "  exact_match *Name *0.9000 *-  reported as 12, above 1: is it in percent[?]",
            "  accuracy *all *0.9000 *-  reported as 35, above 1: is it in percent[?]",
            "  recall *Name *0.0000 *-  reported as -1, below 0: recall lies between 0 and 1",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "metrics: 1 of 3 metrics not within the bounds",
            "  loss *all *at most 0.4000 *0.5000  too high by 0.1000",
            "  rmse *Name *at most 3.0000 *3.0000",
        ]
    )


def test_a_value_just_below_its_minimum_looks_so_everywhere(served: Project) -> None:
    results = {"f1": {"Name": 0.89996, "Total": 0.8999999}}
    served.write_tests(Edge={"config": {"results": results}, "metrics": {"f1": {"Name": 0.9, "Total": 0.9}}})
    served.pytester.makeconftest(
        """
        from pytest_ibmodels.hooks import MetricCheck

        def pytest_ibmodels_verdict(phase):
            yield MetricCheck("own", "all", maximum=0.5, observed=0.50001)
        """
    )
    result = served.run("--junitxml=junit.xml")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "  f1 *Name *0.90000 *0.89996  too low by 0.00004",
            "  f1 *Total *0.9000000 *0.8999999  too low by 0.0000001",
            "  own *all *at most 0.50000 *0.50001  too high by 0.00001",
        ]
    )
    junit = (served.pytester.path / "junit.xml").read_text()
    assert '<property name="observed.f1.Total" value="0.8999999" />' in junit.replace('"/>', '" />')


def test_a_control_character_of_a_field_leaves_the_junit_file_readable(served: Project) -> None:
    name = "Name\x0b"
    served.write_tests(Ctl={"config": {"results": {"f1": {name: 1.0}}}, "metrics": {"f1": {name: 0.9}}})
    served.run("--junitxml=junit.xml").assert_outcomes(passed=2)
    root = ET.parse(served.pytester.path / "junit.xml").getroot()  # noqa: S314
    names = {one.get("name") for one in root.iter("property")}
    assert {"observed.f1.Name\ufffd", "minimum.f1.Name\ufffd"} <= names


def test_what_pushed_code_says_is_no_command_to_a_ci_server(served: Project) -> None:
    text = "boom\n::error::x\n  ::add-mask::y\n##[stop-commands]z"
    served.write_tests(
        Raises={"config": {"raise": text}},
        Logs={
            "config": {"log": f"{text}\n", "results": {"f1": {"::error::a\n::error::b": 0.1}}},
            "metrics": {"f1": {"N": 1}},
        },
    )
    result = served.run("-rA")
    result.assert_outcomes(failed=2, skipped=2)
    obeyed = re.compile(r"\s*::|.*##\w*\[")
    assert [line for line in result.outlines + result.errlines if obeyed.match(line)] == []
    result.stdout.fnmatch_lines(["*boom", "| ::error::x"])


def test_verdicts_are_assertions_and_what_broke_is_none() -> None:
    broken = set(RunFailure.__subclasses__()) - {VerdictFailure}
    assert not any(issubclass(kind, AssertionError) for kind in broken)
    assert {MetricsFailure, PredictionsFailure, CheckFailure} < set(VerdictFailure.__subclasses__())
