"""What publishing makes of an environment that is slow, flaky, old, or says what is not so."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.engine import publishing
from pytest_ibmodels.engine.publishing import State
from tests.engine.test_case_runner import FakeClock
from tests.publishing.gateway import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ibmodels.engine.publishing import Outcome
    from tests.publishing.conftest import Shop
    from tests.publishing.gateway import Gateway

pytestmark = pytest.mark.usefixtures("uploads")

PUBLISH = "POST marketplace/publish"
UNAVAILABLE = Reply(200, '{"status": "ERROR", "msg": "UNAVAILABLE: file service is restarting"}')
LOST = Reply(502, "<html>bad gateway</html>")


class Publisher:
    """Publishes through the gateway, with time that passes at once."""

    def __init__(self, shop: Shop, gateway: Gateway) -> None:
        self.shop = shop
        self.gateway = gateway
        self.clock = FakeClock()
        self.told: list[str] = []

    def publish(self) -> Outcome:
        target = self.shop.environment(self.gateway.url)
        return asyncio.run(publishing.publish(target, self.shop.package(), clock=self.clock, notify=self.tell))

    def unpublish(self) -> Outcome:
        target = self.shop.environment(self.gateway.url)
        name = self.shop.package_name
        return asyncio.run(publishing.unpublish(target, name, "1.0.0", clock=self.clock, notify=self.tell))

    def tell(self, environment: str, sentence: str) -> None:
        self.told.append(f"{environment}: {sentence}")


@pytest.fixture
def publisher(shop: Shop, gateway: Gateway) -> Publisher:
    return Publisher(shop, gateway)


def first(times: int, what: str, answer: Reply) -> Callable[[Call], Reply | None]:
    """Answers the first calls of a kind."""
    left = [answer] * times

    def meddle(call: Call) -> Reply | None:
        return left.pop() if call.what.startswith(what) and left else None

    return meddle


def test_an_environment_that_publishes_in_a_job_is_waited_for(publisher: Publisher) -> None:
    assert publisher.publish().state is State.PUBLISHED
    assert "GET jobs/status" in publisher.gateway.calls
    assert publisher.gateway.calls[-1] == "GET marketplace/list"


def test_an_environment_that_publishes_at_once_is_believed_by_its_list(publisher: Publisher) -> None:
    def without_the_flag(call: Call) -> Call | None:
        if call.what != PUBLISH:
            return None
        body = json.loads(call.body)
        assert body.pop("async") == "true"
        return Call(call.what, json.dumps(body).encode())

    publisher.gateway.meddle = without_the_flag
    assert publisher.publish().state is State.PUBLISHED
    assert "GET jobs/status" not in publisher.gateway.calls
    assert publisher.gateway.calls[-1] == "GET marketplace/list"


@pytest.mark.parametrize("what", ["GET marketplace/list", "POST drives/", PUBLISH])
@pytest.mark.parametrize("answer", [UNAVAILABLE, Reply(503, "busy"), Reply(429, "slow down")], ids=str)
def test_what_passes_is_tried_again(publisher: Publisher, what: str, answer: Reply) -> None:
    publisher.gateway.meddle = first(2, what, answer)
    outcome = publisher.publish()
    assert outcome.state is State.PUBLISHED, outcome.reason
    assert publisher.clock.time >= 0.5 + 1.0
    assert [told.rpartition("; ")[2] for told in publisher.told] == [
        "retrying in 0.5 s (1 of 8 tries)",
        "retrying in 1 s (2 of 8 tries)",
    ]


def test_a_job_that_ends_with_unavailable_is_another_try(publisher: Publisher) -> None:
    result = {"status": "OK", "state": "DONE", "results": [{"status": "ERROR", "msg": "UNAVAILABLE: no file service"}]}
    answers = {PUBLISH: Reply(200, '{"job_id": "j1"}'), "GET jobs/status": Reply(200, json.dumps(result))}
    publisher.gateway.meddle = lambda call: answers.pop(call.what, None)
    assert publisher.publish().state is State.PUBLISHED
    assert publisher.told == ["only: job j1: UNAVAILABLE: no file service; retrying in 0.5 s (1 of 8 tries)"]


def test_eight_tries_are_enough(publisher: Publisher) -> None:
    publisher.gateway.meddle = first(100, PUBLISH, UNAVAILABLE)
    outcome = publisher.publish()
    assert (outcome.state, outcome.is_success) == (State.FAILED, False)
    assert outcome.reason == f"{PUBLISH}: UNAVAILABLE: file service is restarting"
    assert publisher.gateway.calls.count(PUBLISH) == 8
    assert publisher.clock.time == pytest.approx(0.5 + 1 + 2 + 4 + 8 + 8 + 8)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            Reply(200, '{"status": "OK"}'),
            "it answered that all is well, but {name} 1.0.0 is not in its marketplace",
        ),
        (Reply(200, '{"status": "Refused", "msg": "no right, made-up-token"}'), "no right, ***"),
        (Reply(200, '{"status": "ERROR", "msg": "no right"}'), "no right"),
        (Reply(200, "{}"), "the answer has neither `status` nor `job_id`"),
    ],
    ids=["lie", "odd status", "error", "nothing"],
)
def test_what_is_not_in_the_list_is_not_published(publisher: Publisher, answer: Reply, reason: str) -> None:
    publisher.gateway.meddle = first(1, PUBLISH, answer)
    outcome = publisher.publish()
    assert (outcome.state, outcome.is_success) == (State.FAILED, False)
    assert outcome.reason == f"{PUBLISH}: {reason.format(name=publisher.shop.package_name)}"


def test_a_lost_answer_does_not_hide_that_it_was_published(publisher: Publisher) -> None:
    lost = False

    def lose_the_first(call: Call) -> Reply | None:
        nonlocal lost
        if call.what != PUBLISH or lost:
            return None
        lost = True
        synchronous = json.dumps({"ibsolution_path": json.loads(call.body)["ibsolution_path"]}).encode()
        publisher.gateway.ask("POST", "/api/v1/marketplace/publish", synchronous)
        return LOST

    publisher.gateway.meddle = lose_the_first
    outcome = publisher.publish()
    assert (outcome.state, outcome.notes) == (State.PUBLISHED, ())
    assert publisher.gateway.calls.count(PUBLISH) == 2


def test_who_comes_second_finds_it_there(publisher: Publisher) -> None:
    def be_faster(call: Call) -> None:
        if call.what == PUBLISH:
            publisher.gateway.meddle = lambda _call: None
            publisher.gateway.ask("POST", "/api/v1/marketplace/publish", call.body.replace(b'"async":"true"', b'"x":1'))

    publisher.gateway.meddle = be_faster
    outcome = publisher.publish()
    assert (outcome.state, outcome.is_success) == (State.PRESENT, True)
    assert outcome.notes[0].startswith("published in the meantime: job ")


def test_an_unpublished_version_has_to_be_gone(publisher: Publisher) -> None:
    publisher.publish()
    publisher.gateway.meddle = first(1, "POST marketplace/unpublish", Reply(200, '{"status": "OK"}'))
    lie = publisher.unpublish()
    assert lie.state is State.FAILED
    assert lie.reason.endswith(
        "all is well, but an-unpublished-version-has-to-be-gone 1.0.0 is still in its marketplace"
    )
    publisher.gateway.meddle = first(3, "POST marketplace/unpublish", UNAVAILABLE)
    assert publisher.unpublish().state is State.UNPUBLISHED
    assert publisher.clock.time >= 0.5 + 1 + 2


def test_a_file_that_cannot_be_removed_is_told(publisher: Publisher) -> None:
    publisher.gateway.meddle = first(1, "DELETE", Reply(200, '{"status": "ERROR", "msg": "locked"}'))
    outcome = publisher.publish()
    assert outcome.is_success
    (note,) = outcome.notes
    assert note.startswith("left behind: acme/ci/fs/Drive/publishing/")
    assert note.endswith("locked")
    path = note.split()[2]
    publisher.gateway.ask("DELETE", f"/api/v1/drives/{path}", b"{}")
