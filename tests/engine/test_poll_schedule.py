"""Number of polls until the end of a job is seen, and the delay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_ibmodels.engine.polling import SHORTEST_POLL, PollSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 10.0


def watched(
    length: float, progress: Callable[[float], float | None], longest: float = LONGEST, active_runs: int = 1
) -> tuple[int, float]:
    """How many looks see a job of this length to its end, and how many seconds late."""
    schedule, at, looks = PollSchedule(longest, lambda: active_runs), 0.0, 1
    while at < length:
        schedule.record(at, progress(at))
        pause = schedule.interval(at)
        assert SHORTEST_POLL <= pause <= max(longest, SHORTEST_POLL)
        at += pause
        looks += 1
    return looks, at - length


@pytest.mark.parametrize("every", [0.1, 1.0, 2.0])
def test_a_job_that_reports_its_progress_takes_a_dozen_looks(every: float) -> None:
    looks, late = watched(20.0, lambda at: (at // every) * every / 20.0)
    assert looks <= 15
    assert late <= 20.0 / 25


def test_a_job_whose_progress_begins_late_is_seen_in_time() -> None:
    looks, late = watched(30.0, lambda at: max(0.0, at - 10.0) / 20.0)
    assert looks <= 27
    assert late <= 30.0 / 10


def test_a_job_that_goes_on_after_its_progress_is_complete_is_not_pestered() -> None:
    looks, late = watched(300.0, lambda at: min(at / 20.0, 1.0), longest=1000.0)
    assert looks <= 40
    assert late <= 300.0 / 2


@given(length=st.floats(0.5, 600), end=st.floats(0.05, 1.0), every=st.floats(0.05, 60))
def test_a_job_that_ends_early_is_seen_before_twice_its_length(length: float, end: float, every: float) -> None:
    _looks, late = watched(length * end, lambda at: min((at // every) * every / length, 1.0))
    assert late <= max(length * end, SHORTEST_POLL)


@given(st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats()), max_size=20))
@example([(2.0, 5e-324)])
def test_whatever_it_reports_pauses_keep_their_bounds(sightings: list[tuple[float, float | None]]) -> None:
    schedule, at = PollSchedule(LONGEST), 0.0
    for elapsed, fraction in sightings:
        at += elapsed
        schedule.record(at, fraction)
        assert SHORTEST_POLL <= schedule.interval(at) <= LONGEST


def test_a_training_that_is_begun_again_has_no_pace_yet() -> None:
    schedule = PollSchedule(LONGEST)
    schedule.record(10.0, 0.5)
    assert schedule.interval(10.0) == pytest.approx(7.5)
    schedule.record(15.0, 0.1)
    assert schedule.interval(15.0) == pytest.approx(1.5)


def test_hundreds_of_jobs_are_not_looked_at_more_often_than_an_environment_can_answer() -> None:
    assert PollSchedule(LONGEST, lambda: 200).interval(0.1) == pytest.approx(2.0)
    assert PollSchedule(LONGEST, lambda: 200).interval(40.0) == pytest.approx(4.0)
    assert PollSchedule(LONGEST, lambda: 100_000).interval(0.1) == LONGEST


@pytest.mark.parametrize(("active_runs", "most"), [(50, 9), (200, 6)])
def test_among_hundreds_the_last_look_comes_at_the_end_and_not_before_and_after_it(active_runs: int, most: int) -> None:
    looks, late = watched(20.0, lambda at: at // 1.0 / 20.0, active_runs=active_runs)
    assert looks <= most
    assert late <= 1.0
