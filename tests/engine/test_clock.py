from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.engine.polling import SHORTEST_POLL, poll_interval


@given(st.floats(0, 1e6), st.floats(SHORTEST_POLL, 60))
def test_an_interval_is_a_tenth_of_the_wait_within_its_bounds(waited: float, longest: float) -> None:
    interval = poll_interval(waited, longest)
    assert SHORTEST_POLL <= interval <= longest
    assert interval <= max(SHORTEST_POLL, min(waited, 0.5), waited / 10)


@given(st.floats(5, 3600))
def test_the_end_of_a_job_is_seen_within_about_a_tenth_of_its_length(length: float) -> None:
    waited = 0.0
    looks = 0
    while waited < length:
        waited += poll_interval(waited, 10.0)
        looks += 1
    assert waited - length <= max(0.1 * length, SHORTEST_POLL)
    assert looks <= 50 + length / 10
