"""Runs through faults of a network or a gateway, before a real sandbox."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.engine.failures import (
    EnvironmentUnavailable,
    MetricsFailure,
    NotTrained,
    SubmitFailure,
    TimeLimitFailure,
    TrainingFailure,
    UploadFailure,
    phase_failure,
)
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.spec import ResourcesSpec
from tests.faults import proxy as faults
from tests.faults.engine import model_test, session, trainings
from tests.faults.proxy import Fault, FaultProxy
from tests.plugin.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.engine.case import Run
    from tests.plugin.conftest import Server

TRAIN = "POST model-service/run_train"
STATUS = "GET jobs/status"
FIND = "GET jobs/list"
NO_SUCH_CALL = Fault("unknown route", status=404, body='{"status": "ERROR", "msg": "no such route"}')
RESTARTED = Fault(
    "container restarted",
    body=json.dumps(
        {
            "status": "ERROR",
            "state": "DONE",
            "msg": "Worker received non-pending task",
            "results": [{"status": "ERROR"}],
        }
    ),
)


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as one:
        yield one


def refused(run: Run) -> BaseException:
    error = phase_failure(run.training)
    assert error is not None
    return error


def test_every_fault_that_passes_in_every_call_fails_nothing_and_trains_nothing_twice(server: Server) -> None:
    kinds = list(faults.PASSING)
    met: set[tuple[str, str]] = set()
    lock = threading.Lock()

    def choose(what: str) -> Fault | None:
        """Each path meets three faults, one kind after the other over all paths; then it works."""
        with lock:
            so_far = sum(path == what for path, _ in met)
            if so_far == 3 or (what.startswith(STATUS) and len(met) % 2):
                return None
            kinds.append(kinds.pop(0))
            met.add((what, kinds[0].name))
            return kinds[0]

    before = trainings(server)
    with FaultProxy(server.url, choose) as proxy, session(proxy.url) as one:
        runs = one.run(
            *(model_test(f"Good{number}", config={"sleep": 0.2}, metrics={"f1": {"Name": 0.9}}) for number in range(4)),
            model_test("Low", metrics={"f1": {"Name": 1.01}}),
            model_test("Boom", config={"raise": "boom"}),
        )
    bad = {name: refused(runs.pop(name)) for name in ("Low", "Boom")}
    assert [(name, phase_failure(run.training), phase_failure(run.inference)) for name, run in runs.items()] == [
        (name, None, None) for name in runs
    ]
    assert isinstance(bad["Low"], MetricsFailure)
    assert (type(bad["Boom"]), str(bad["Boom"])) == (TrainingFailure, "RuntimeError: boom")
    assert {name for _, name in met} == {kind.name for kind in faults.PASSING}
    assert trainings(server) == before + 6
    assert one.left_behind == []
    assert server.left_over() == []
    assert all(run.lost_answers for run in runs.values())


def test_a_start_whose_answer_is_lost_is_looked_up_and_not_repeated(server: Server, proxy: FaultProxy) -> None:
    proxy.plan(TRAIN, faults.LOST)
    before = trainings(server)
    with session(proxy.url) as one:
        run = one.run(model_test("Lost"))["Lost"]
    assert phase_failure(run.inference) is None
    assert (proxy.count(TRAIN), proxy.count(FIND), trainings(server)) == (1, 1, before + 1)


def test_a_start_that_never_arrived_is_looked_up_and_repeated(server: Server, proxy: FaultProxy) -> None:
    proxy.plan(TRAIN, faults.RESET, faults.BUSY, faults.UNAVAILABLE)
    before = trainings(server)
    with session(proxy.url) as one:
        test = model_test("Late", resources=ResourcesSpec(cpus=0.5, memory=2**30), retries=3)
        run = one.run(test, with_inference=False)["Late"]
    assert phase_failure(run.training) is None
    (key,) = {key for call, key in zip(proxy.calls, proxy.keys, strict=True) if call == TRAIN}
    assert len(key) == 32
    sent = [json.loads(body) for call, body in zip(proxy.calls, proxy.bodies, strict=True) if call == TRAIN][-1]
    assert (sent["resources"], sent["retries"]) == ({"cpus": 0.5, "gpus": 0, "memory": 2**30}, 3)
    assert (run.placement.node, run.placement.attempt, run.placement.lost) == ("", 1, ())
    # 503 and UNAVAILABLE say that nothing was begun: there is nothing to look up.
    assert (proxy.count(TRAIN), proxy.count(FIND), trainings(server)) == (4, 1, before + 1)


def test_where_a_lost_start_cannot_be_looked_up_the_report_says_so(server: Server, proxy: FaultProxy) -> None:
    proxy.plan(TRAIN, faults.LOST)
    proxy.plan(FIND, NO_SUCH_CALL)
    with session(proxy.url) as one:
        run = one.run(model_test("Twice"))["Twice"]
    assert phase_failure(run.inference) is None
    starts = [json.loads(body) for call, body in zip(proxy.calls, proxy.bodies, strict=True) if call == TRAIN]
    names = [start["arguments"]["model_name"] for start in starts]
    assert names[0] != names[1]  # so that the one does not write into what the other is judged by
    (note,) = [note for note in run.notes if "cannot be asked" in note]
    assert note.startswith(f"the answer to the start of training {names[0]} was lost (POST model-service/run_train: ")
    assert one.left_behind == [f"a training of {names[0]} may run on dogfood, which did not return its id"]


def test_a_restarted_container_trains_again_and_the_report_says_so(server: Server, proxy: FaultProxy) -> None:
    seen: list[str] = []

    def choose(what: str) -> Fault | None:
        if TRAIN in what:
            seen.append(what)
        # The first two looks at the first job: unpacking is over by then.
        return RESTARTED if what.startswith(STATUS) and len(seen) == 1 else None

    proxy.choose = choose
    with session(proxy.url) as one:
        run = one.run(model_test("Again", config={"sleep": 1}))["Again"]
    assert phase_failure(run.inference) is None
    assert len(seen) == 2
    (note,) = [note for note in run.notes if "container" in note]
    assert note.endswith(" was restarted; the training was started again (1 of at most 5 times)")


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (Fault("401", status=401), EnvironmentUnavailable, "refused the token (HTTP 401): check `token`"),
        (Fault("403", status=403), EnvironmentUnavailable, "refused the token (HTTP 403): check `token`"),
        (
            Fault("error", body='{"status": "ERROR", "msg": "this account is locked"}'),
            TrainingFailure,
            "GET jobs/status: this account is locked; job ",
        ),
        (
            Fault("moved", status=302, headers=(("Location", "https://login.example.com/"),)),
            EnvironmentUnavailable,
            "HTTP 302 points to https://login.example.com/; the token is not sent there: correct `host`",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_what_does_not_pass_ends_a_wait_at_once_and_cancels_the_job(
    server: Server, proxy: FaultProxy, fault: Fault, kind: type[Exception], reason: str
) -> None:
    started: list[str] = []

    def choose(what: str) -> Fault | None:
        started.extend([what] * (TRAIN in what))
        return fault if what.startswith(STATUS) and started else None

    proxy.choose = choose
    with session(proxy.url) as one:
        run = one.run(model_test("Refused", config={"sleep": 30}))["Refused"]
    error = refused(run)
    assert type(error) is kind
    assert reason in str(error)
    assert isinstance(phase_failure(run.inference), NotTrained)
    assert proxy.count("POST jobs/cancel") == 1
    assert server.training_processes() == []


@pytest.mark.parametrize("how", ["nobody listens", "503 for ever"])
def test_an_environment_that_is_not_there_fails_all_its_cases_with_one_sentence(proxy: FaultProxy, how: str) -> None:
    proxy.choose = lambda _what: faults.BUSY
    url = proxy.url if how == "503 for ever" else "http://127.0.0.1:9"
    with session(url, limits=Limits(startup=5)) as one:
        runs = one.run(*(model_test(f"Case{number}") for number in range(3)))
    errors = [refused(run) for run in runs.values()]
    assert {type(error) for error in errors} == {EnvironmentUnavailable}
    (sentence,) = {str(error) for error in errors}
    assert "tried for 5 s: check `host` (dogfood), and whether the network, a VPN or a proxy leads there" in sentence
    assert proxy.count("POST") == 0
    assert one.left_behind == []


def test_a_lost_answer_to_a_cancel_is_no_job_left_behind(server: Server, proxy: FaultProxy) -> None:
    proxy.plan("POST jobs/cancel", faults.LOST)
    with session(proxy.url) as one:
        run = one.run(model_test("Slow", config={"sleep": 60}, time_limit=5.0))["Slow"]
    error = refused(run)
    assert isinstance(error, TimeLimitFailure)
    assert error.cancelled
    assert run.notes[-1].endswith("was cancelled")
    assert one.left_behind == []
    assert server.training_processes() == []


def test_a_lost_answer_to_a_removal_is_no_failure_and_leaves_nothing(server: Server, proxy: FaultProxy) -> None:
    # Of the archive, once it is unpacked, and of the folder at the end.
    proxy.plan("DELETE drives/", faults.LOST, faults.HTML)
    with session(proxy.url) as one:
        run = one.run(model_test("Any"), with_inference=False)["Any"]
    assert phase_failure(run.training) is None
    assert proxy.count("DELETE drives/") >= 4
    assert one.left_behind == []
    assert server.left_over() == []


def test_a_refused_start_fails_its_own_case_alone(server: Server, proxy: FaultProxy) -> None:
    refusal = Fault("refusal", body='{"status": "ERROR", "msg": "no GPU is left for you"}')
    proxy.plan(TRAIN, refusal)
    with session(proxy.url) as one:
        runs = one.run(model_test("One"), model_test("Other"), with_inference=False)
    errors = [error for run in runs.values() if (error := phase_failure(run.training)) is not None]
    assert [type(error) for error in errors] == [SubmitFailure]
    assert str(errors[0]) == f"{TRAIN}: no GPU is left for you"
    assert proxy.count(TRAIN) == 2


def test_limits_of_an_environment_win(proxy: FaultProxy) -> None:
    pending = '{"status": "OK", "state": "PENDING"}'
    proxy.choose = lambda what: Fault("pending", body=pending) if what.startswith(STATUS) else None
    with session(proxy.url, limits=Limits(longest_poll=1.0, upload=1000.0)) as one:
        one.environment = replace(one.environment, limits={"upload": 3.0})
        run = one.run(model_test("Waiting"))["Waiting"]
    error = refused(run)
    assert isinstance(error, UploadFailure)
    assert str(error).startswith("unpacking the package did not end within 3 s (job ")


def test_the_token_does_not_follow_a_redirect(proxy: FaultProxy) -> None:
    with FaultProxy(proxy.url) as other:
        proxy.choose = lambda _what: Fault("moved", status=307, headers=(("Location", f"{other.url}/api/v1/x"),))
        with session(proxy.url) as one:
            run = one.run(model_test("Moved"))["Moved"]
        assert other.calls == []
    error = refused(run)
    assert isinstance(error, EnvironmentUnavailable)
    assert "the token is not sent there" in str(error)
    assert TOKEN not in str(error)
