"""Many cases at once: what they cost, with workers, and through faults. `benchmarks/hundreds.py` prints the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.proxy import FaultProxy
from tests.plugin.hundreds import good_and_bad, good_cases, not_as_meant, one_in_twenty, run_session, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugin.conftest import Server

MANY = pytest.param(200, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sandbox(tmp_path_factory.mktemp("roomy") / "sandbox", max_jobs=250) as server:
        yield server


@pytest.mark.parametrize("count", [20, MANY])
def test_a_case_among_many_costs_few_requests_and_one_upload_serves_all(
    roomy: Server, tmp_path: Path, count: int
) -> None:
    pushed, trained = roomy.jobs("unzip"), roomy.jobs("train")
    seconds = 20.0 if count > 20 else 2.0
    session = run_session(tmp_path / "project", good_cases(count, seconds), {"dogfood": roomy.url})
    assert session.exit_code == 0, session.output
    assert len(session.runs) == count
    assert session.requests <= 25 * count
    # A connection serves many; hundreds of cases need no more than there may be at once.
    assert session.connections <= 32
    assert session.memory < 130e6
    assert (roomy.jobs("unzip") - pushed, roomy.jobs("train") - trained) == (1, count)
    assert roomy.left_over() == []


@pytest.mark.parametrize("count", [8, pytest.param(1000, marks=pytest.mark.slow)])
def test_workers_push_once_an_environment_and_every_verdict_is_right(roomy: Server, tmp_path: Path, count: int) -> None:
    environments = ("east", "west", "north", "south") if count > 8 else ("east", "west")
    pushed, cases = roomy.jobs("unzip"), good_and_bad(count // len(environments), 1.0)
    urls = dict.fromkeys(environments, roomy.url)
    session = run_session(tmp_path / "project", cases, urls, "-n", str(len(urls)), timeout=900)
    assert len(session.runs) == len(cases) * len(urls)
    assert not_as_meant(session.runs) == []
    assert roomy.jobs("unzip") - pushed == len(urls)
    assert roomy.left_over() == []


@pytest.mark.parametrize("count", [20, MANY])
def test_with_one_request_in_twenty_failing_good_cases_pass_and_bad_ones_fail_for_their_own_reason(
    roomy: Server, tmp_path: Path, count: int
) -> None:
    choose, met = one_in_twenty()
    trained, cases = roomy.jobs("train"), good_and_bad(count, 1.0)
    with FaultProxy(roomy.url, choose) as proxy:
        session = run_session(tmp_path / "project", cases, {"dogfood": proxy.url})
    assert len(met) > count / 4
    assert not_as_meant(session.runs) == []
    assert roomy.jobs("train") - trained == len(cases)
    assert "left behind" not in session.output
    assert roomy.left_over() == []
