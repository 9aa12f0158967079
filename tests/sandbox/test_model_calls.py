"""Calls that wait for models: a pool for each tenant, with a bound, and nothing else behind it."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from pytest_ibmodels.sandbox.services.model_calls import MOST_WAITING, THREADS
from tests.sandbox.pushed import document, model_package
from tests.sandbox.running import RunningSandbox

ADA, BOB = "token-of-ada", "token-of-bob"
ROOT = "acme/ada/fs/Drive"
TOO_MANY = THREADS + MOST_WAITING + 5


@pytest.fixture
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSandbox, RunningSandbox]]:
    """One server, seen by Ada and by Bob."""
    running = RunningSandbox(tmp_path_factory.mktemp("calls") / "data", tokens=f"ada {ADA}\nbob {BOB}\n")
    ada, bob = running.seen_by(ADA), running.seen_by(BOB)
    with ada.http, bob.http:
        yield ada, bob
    running.close()


def ask(sandbox: RunningSandbox, model: str, text: str, seconds: float) -> int | str:
    """The HTTP status of a model's answer, or the name of what went wrong."""
    body = {"model_name": model, "input_path": f"{ROOT}/docs/{text}", "model_fs_path": f"{ROOT}/{model}"}
    headers = {"Authorization": f"Bearer {ADA}"}
    try:
        answer = httpx.post(
            f"{sandbox.announced['url']}/api/v1/model-service/run", json=body, headers=headers, timeout=seconds
        )
    except httpx.ReadTimeout:
        return "left"
    if answer.status_code == 429:
        assert answer.headers["Retry-After"] == "5"
        assert "calls of this token wait for models already" in answer.json()["msg"]
    return answer.status_code


def test_a_model_that_hangs_stops_neither_files_nor_other_models_nor_others(
    team: tuple[RunningSandbox, RunningSandbox],
) -> None:
    ada, bob = team
    for model in ("hanging", "quick"):
        ada.push(f"{ROOT}/{model}", model_package("Name"))
    ada.write(f"{ROOT}/docs/sleep", document("sleep"))
    ada.write(f"{ROOT}/docs/a", document("Ada"))
    bob.write("acme/bob/fs/Drive/x", "1")
    assert ask(ada, "quick", "a", 30.0) == 200
    with ThreadPoolExecutor(TOO_MANY) as callers:
        calls = [callers.submit(ask, ada, "hanging", "sleep", 6.0) for _ in range(TOO_MANY)]
        time.sleep(2.0)
        assert bob.read("acme/bob/fs/Drive/x") == b"1"
        assert len(ada.read(f"{ROOT}/docs/a")) > 0
        assert sum(call.done() for call in calls) <= 5, "files wait behind models"
        answers = Counter(call.result() for call in calls)
    assert answers == {429: 5, "left": TOO_MANY - 5}
    # All callers have left: their calls gave up their places, but for the one that the model works on.
    assert ask(ada, "quick", "a", 10.0) == 200


def test_jobs_that_wait_for_a_model_do_not_keep_file_jobs_waiting(team: tuple[RunningSandbox, RunningSandbox]) -> None:
    ada, _ = team
    ada.push(f"{ROOT}/hanging", model_package("Name"))
    ada.write(f"{ROOT}/docs/sleep", document("sleep"))
    body = {"model_name": "hanging", "input_path": f"{ROOT}/docs/sleep", "model_fs_path": f"{ROOT}/hanging"}
    for _ in range(40):
        assert ada.api("model-service/run_async", body)["status"] == "OK"
    copied = ada.drive("POST", f"{ROOT}/docs/sleep/copy", {"new_full_path": f"{ROOT}/copied"})
    assert ada.wait(copied["job_id"])["status"] == "OK"
    assert ada.exists(f"{ROOT}/copied")
