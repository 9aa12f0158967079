from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.engine.polling import (
    LAST_POLL_SECONDS,
    POLL_TIMEOUT,
    JobTimer,
    poll_job,
)
from pytest_ibmodels.instabase.errors import ApiError, EnvironmentUnavailable, InstabaseError
from tests.engine.test_case_runner import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


def watched(clock: FakeClock, polls: list[bool | None], **limits: Any) -> JobTimer:
    """A timer after these polls, each with a pause behind it."""
    timer = JobTimer(clock, 10.0, **{"limit": 100.0} | limits)

    async def poll() -> None:
        for queued in polls:
            timer.record_poll(queued=queued)
            await timer.pause()

    asyncio.run(poll())
    return timer


def test_time_in_the_queue_is_not_the_trainings() -> None:
    clock = FakeClock()
    timer = watched(clock, [True] * 60, queue_limit=1000.0)
    queued = clock.time
    assert queued > 100
    timer.record_poll(queued=True)
    assert (timer.queued, timer.ran, timer.late) == (queued, 0.0, "")
    clock.time += 8
    timer.record_poll(queued=False)
    assert (timer.queued, timer.ran) == (queued, 8.0)


def test_the_queue_has_a_limit_of_its_own() -> None:
    clock = FakeClock()
    timer = watched(clock, [True] * 60, queue_limit=50.0)
    timer.record_poll(queued=True)
    assert timer.late == "queue"
    assert clock.time >= 50


def test_a_limit_is_met_on_the_second() -> None:
    clock = FakeClock()
    timer = watched(clock, [False] * 40, limit=100.0)
    assert not timer.late or clock.time >= 100
    while not timer.late:
        timer.record_poll()
        asyncio.run(timer.pause())
    assert clock.time == pytest.approx(100.0, abs=1.1)


def test_lost_answers_at_the_limit_get_one_more_look() -> None:
    clock = FakeClock()
    timer = watched(clock, [False])
    clock.time = 29.0
    timer.record_poll(queued=None)
    clock.time = 58.0
    timer.record_poll(queued=None)
    clock.time = 100.5
    timer.record_poll(queued=None)
    assert timer.late == ""
    clock.time = 100.0 + LAST_POLL_SECONDS
    timer.record_poll(queued=None)
    assert timer.late == "run"


def test_an_answer_at_the_limit_decides() -> None:
    clock = FakeClock()
    timer = watched(clock, [False])
    clock.time = 40.0
    timer.record_poll(queued=None)
    assert timer.waited == pytest.approx(40.0)
    timer.record_poll()
    assert timer.ran == pytest.approx(40.0)
    assert timer.late == ""


@pytest.mark.parametrize("answered", [True, False])
def test_on_waking_a_laptop_declares_nothing_late(*, answered: bool) -> None:
    clock = FakeClock()
    timer = watched(clock, [False] * 20)
    ran = clock.time
    clock.time += 8 * 3600  # the lid was closed
    timer.record_poll(queued=False if answered else None)
    assert timer.late == ""
    assert timer.waited == pytest.approx(ran, abs=11)
    clock.time += 1
    timer.record_poll()
    assert timer.late == ""


def test_a_look_that_takes_its_time_is_no_sleep() -> None:
    clock = FakeClock()
    timer = watched(clock, [False])
    clock.time += POLL_TIMEOUT
    timer.record_poll()
    assert timer.ran == pytest.approx(clock.time)


def test_the_age_of_a_job_counts() -> None:
    clock = FakeClock()
    timer = JobTimer(clock, 10.0, limit=100.0, age=99.0)
    timer.record_poll()
    assert timer.late == ""
    clock.time += 1.0
    timer.record_poll()
    assert timer.late == "run"


def test_a_pause_is_as_long_as_the_environment_asks_but_not_past_the_limit() -> None:
    clock = FakeClock()
    timer = JobTimer(clock, 10.0, limit=100.0)
    timer.record_poll()
    asyncio.run(timer.pause(25.0))
    assert clock.time == 25.0
    timer.record_poll()
    asyncio.run(timer.pause(1000.0))
    assert clock.time == 85.0
    timer.record_poll()
    asyncio.run(timer.pause(1000.0))
    assert clock.time == 100.0


def test_a_look_that_may_take_long_counts_towards_the_limit() -> None:
    for longest, waited in ((POLL_TIMEOUT, 0.0), (240.0, 100.0)):
        clock = FakeClock()
        timer = JobTimer(clock, 10.0, limit=90.0, poll_timeout=longest)
        clock.time = 100.0
        timer.record_poll()
        assert timer.waited == waited
        assert timer.late == ("run" if waited else "")


def waited_for(
    answers: list[str | InstabaseError | None], on_lost: Callable[[BaseException], None] | None = None
) -> Any:
    """Wait for a job whose polls answer this, the last answer for ever; return the result."""
    timer = JobTimer(FakeClock(), 10.0, limit=100.0)

    async def poll() -> str | None:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, InstabaseError):
            raise answer
        timer.record_poll()
        return answer

    return asyncio.run(poll_job(poll, timer, on_lost))


def test_a_wait_survives_lost_answers_and_ends_with_the_job_or_its_limit() -> None:
    lost = EnvironmentUnavailable("GET jobs/status", "no answer")
    heard: list[BaseException] = []
    assert waited_for([None, lost, None, lost, "done"], heard.append) == "done"
    assert heard == [lost, lost]
    assert waited_for([None]) is None
    assert waited_for([lost]) is None


def test_a_wait_ends_with_an_answer_that_was_not_lost_or_where_its_caller_raises() -> None:
    refused = ApiError("GET jobs/status", "no such job")
    with pytest.raises(ApiError, match="no such job"):
        waited_for([None, refused])

    def give_up(error: BaseException) -> None:
        raise error

    with pytest.raises(EnvironmentUnavailable):
        waited_for([EnvironmentUnavailable("GET jobs/status", "no answer"), "done"], give_up)
