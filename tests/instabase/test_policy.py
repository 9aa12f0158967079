"""Retry policies: transient errors, tries and times, and the same table in the documentation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pytest_ibmodels.instabase import policy
from pytest_ibmodels.instabase.errors import (
    AccessRefused,
    ApiError,
    CertificateRefused,
    EnvironmentUnavailable,
    GarbledAnswer,
    InstabaseError,
    Redirected,
    UnexpectedAnswer,
)
from pytest_ibmodels.instabase.policy import RetryMode, RetryPolicy, is_transient, is_uncertain
from pytest_ibmodels.instabase.retrying import Retrier
from tests.engine.test_case_runner import FakeClock

CALL = "POST x"
REFUSED = EnvironmentUnavailable(CALL, "refused", reached=False)
RESET = EnvironmentUnavailable(CALL, "reset")
BUSY = EnvironmentUnavailable(CALL, "busy", status=503)
SLOW = EnvironmentUnavailable(CALL, "slow", status=429, retry_after=20.0)
BROKEN = EnvironmentUnavailable(CALL, "broken", status=500)
GARBLED = GarbledAnswer(CALL, "html")
DOWN = ApiError(CALL, "UNAVAILABLE: file service")


@pytest.mark.parametrize(
    ("error", "passes", "uncertain"),
    [
        (REFUSED, True, False),
        (RESET, True, True),
        (BUSY, True, False),
        (SLOW, True, False),
        (BROKEN, True, True),
        (GARBLED, True, True),
        (DOWN, True, False),
        (ApiError(CALL, "no"), False, False),
        (AccessRefused(CALL, "no"), False, False),
        (CertificateRefused(CALL, "no"), False, False),
        (Redirected(CALL, "no"), False, False),
        (UnexpectedAnswer(CALL, "no"), False, False),
        (ZeroDivisionError(), False, False),
    ],
    ids=str,
)
def test_which_errors_pass_and_which_leave_the_effect_in_doubt(
    error: Exception, *, passes: bool, uncertain: bool
) -> None:
    assert (is_transient(error), is_uncertain(error)) == (passes, uncertain)


class Caller:
    """A call that fails with each of the errors in turn, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.clock = FakeClock()
        self.errors = list(errors)
        self.calls = 0
        self.heard: list[str] = []

    def ask(self, by: RetryPolicy) -> str:
        async def call() -> str:
            self.calls += 1
            if self.errors:
                raise self.errors.pop(0)
            return "answer"

        retrier = Retrier(self.clock, lambda _error, sentence: self.heard.append(sentence))

        async def main() -> str:
            return await retrier(by, call)

        return asyncio.run(main())


@pytest.mark.parametrize(
    "by", [one for one in policy.POLICIES if one.mode is RetryMode.ALWAYS], ids=lambda one: one.call
)
def test_what_may_be_repeated_is_as_often_as_the_table_says(by: RetryPolicy) -> None:
    caller = Caller(*[RESET] * (by.tries - 1))
    assert caller.ask(by) == "answer"
    caller = Caller(*[RESET] * by.tries)
    with pytest.raises(EnvironmentUnavailable):
        caller.ask(by)
    assert caller.calls == by.tries
    assert caller.heard[0].startswith("POST x: reset; retrying in ")
    assert caller.heard[0].endswith(f" s (1 of {by.tries} tries)")


@pytest.mark.parametrize(
    ("error", "calls"), [(RESET, 1), (GARBLED, 1), (BROKEN, 1), (BUSY, 2), (REFUSED, 2), (DOWN, 2)]
)
def test_a_start_is_only_repeated_if_it_had_no_effect(error: InstabaseError, calls: int) -> None:
    caller = Caller(error)
    if calls == 1:
        with pytest.raises(type(error)):
            caller.ask(policy.TRAIN)
    else:
        assert caller.ask(policy.TRAIN) == "answer"
    assert caller.calls == calls


def test_a_look_at_a_job_is_never_repeated_here() -> None:
    with pytest.raises(EnvironmentUnavailable):
        Caller(BUSY).ask(policy.STATUS)


def test_no_try_begins_later_than_the_table_says() -> None:
    by = RetryPolicy("x", "", tries=1000, seconds=60.0)
    caller = Caller(*[RESET] * 1000)
    with pytest.raises(EnvironmentUnavailable):
        caller.ask(by)
    assert 30 < caller.clock.time <= 60
    assert caller.calls < 30


def test_retry_after_is_obeyed() -> None:
    caller = Caller(SLOW, SLOW)
    caller.ask(policy.READ)
    assert caller.clock.time == 40.0


def test_pauses_grow_and_differ_by_chance() -> None:
    longest = [policy.READ.pause(tries, RESET, 0.0) for tries in range(1, 7)]
    shortest = [policy.READ.pause(tries, RESET, 1.0) for tries in range(1, 7)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert shortest == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]


def test_the_documentation_shows_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert "\n".join(policy.as_table()) in text
