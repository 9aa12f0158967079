from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pytest_ibmodels.engine.polling import (
    LAST_LOOK_SECONDS,
    LOOK_SECONDS,
    JobTimer,
)
from tests.engine.test_story import FakeClock


def watched(clock: FakeClock, looks: list[bool | None], **limits: Any) -> JobTimer:
    """A watch after these looks, each with a pause behind it."""
    watch = JobTimer(clock, 10.0, **{"limit": 100.0} | limits)

    async def look() -> None:
        for queued in looks:
            watch.saw(queued=queued)
            await watch.pause()

    asyncio.run(look())
    return watch


def test_time_in_the_queue_is_not_the_trainings() -> None:
    clock = FakeClock()
    watch = watched(clock, [True] * 60, queue_limit=1000.0)
    queued = clock.time
    assert queued > 100
    watch.saw(queued=True)
    assert (watch.queued, watch.ran, watch.late) == (queued, 0.0, "")
    clock.time += 8
    watch.saw(queued=False)
    assert (watch.queued, watch.ran) == (queued, 8.0)


def test_the_queue_has_a_limit_of_its_own() -> None:
    clock = FakeClock()
    watch = watched(clock, [True] * 60, queue_limit=50.0)
    watch.saw(queued=True)
    assert watch.late == "queue"
    assert clock.time >= 50


def test_a_limit_is_met_on_the_second() -> None:
    clock = FakeClock()
    watch = watched(clock, [False] * 40, limit=100.0)
    assert not watch.late or clock.time >= 100
    while not watch.late:
        watch.saw()
        asyncio.run(watch.pause())
    assert clock.time == pytest.approx(100.0, abs=1.1)


def test_lost_answers_at_the_limit_get_one_more_look() -> None:
    clock = FakeClock()
    watch = watched(clock, [False])
    clock.time = 29.0
    watch.saw(queued=None)
    clock.time = 58.0
    watch.saw(queued=None)
    clock.time = 100.5
    watch.saw(queued=None)
    assert watch.late == ""
    clock.time = 100.0 + LAST_LOOK_SECONDS
    watch.saw(queued=None)
    assert watch.late == "run"


def test_an_answer_at_the_limit_decides() -> None:
    clock = FakeClock()
    watch = watched(clock, [False])
    clock.time = 40.0
    watch.saw(queued=None)
    assert watch.waited == pytest.approx(40.0)
    watch.saw()
    assert watch.ran == pytest.approx(40.0)
    assert watch.late == ""


@pytest.mark.parametrize("answered", [True, False])
def test_on_waking_a_laptop_declares_nothing_late(*, answered: bool) -> None:
    clock = FakeClock()
    watch = watched(clock, [False] * 20)
    ran = clock.time
    clock.time += 8 * 3600  # the lid was closed
    watch.saw(queued=False if answered else None)
    assert watch.late == ""
    assert watch.waited == pytest.approx(ran, abs=11)
    clock.time += 1
    watch.saw()
    assert watch.late == ""


def test_a_look_that_takes_its_time_is_no_sleep() -> None:
    clock = FakeClock()
    watch = watched(clock, [False])
    clock.time += LOOK_SECONDS
    watch.saw()
    assert watch.ran == pytest.approx(clock.time)


def test_the_age_of_a_job_counts() -> None:
    clock = FakeClock()
    watch = JobTimer(clock, 10.0, limit=100.0, age=99.0)
    watch.saw()
    assert watch.late == ""
    clock.time += 1.0
    watch.saw()
    assert watch.late == "run"


def test_a_pause_is_as_long_as_the_environment_asks_but_not_past_the_limit() -> None:
    clock = FakeClock()
    watch = JobTimer(clock, 10.0, limit=100.0)
    watch.saw()
    asyncio.run(watch.pause(25.0))
    assert clock.time == 25.0
    watch.saw()
    asyncio.run(watch.pause(1000.0))
    assert clock.time == 85.0
    watch.saw()
    asyncio.run(watch.pause(1000.0))
    assert clock.time == 100.0


def test_a_look_that_may_take_long_counts_towards_the_limit() -> None:
    for longest, waited in ((LOOK_SECONDS, 0.0), (240.0, 100.0)):
        clock = FakeClock()
        watch = JobTimer(clock, 10.0, limit=90.0, longest_look=longest)
        clock.time = 100.0
        watch.saw()
        assert watch.waited == waited
        assert watch.late == ("run" if waited else "")
