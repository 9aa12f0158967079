"""Machine, attempts and resources of a training in every report."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import jsonschema
import pytest

from pytest_ibmodels.engine.case import Case, Run
from pytest_ibmodels.engine.failures import EnvironmentUnavailable
from pytest_ibmodels.engine.placement import Placement
from pytest_ibmodels.engine.publishing import EnvironmentFacts
from pytest_ibmodels.engine.repeats import add_repeats
from pytest_ibmodels.instabase.wire_sandbox import NodeStatus, SandboxStatus
from pytest_ibmodels.pytest.records import run_record
from pytest_ibmodels.reports.failure import failure_text
from pytest_ibmodels.reports.html import page
from pytest_ibmodels.reports.junit import properties
from pytest_ibmodels.reports.placement import memory_text
from pytest_ibmodels.reports.publications import environment_lines
from pytest_ibmodels.reports.summary import write_summary
from pytest_ibmodels.spec import ModelTest, ResourcesSpec
from tests.reports.html_samples import PASSED, report

if TYPE_CHECKING:
    from pytest_ibmodels.pytest.keys import PhaseOutcome
    from pytest_ibmodels.reports.record import RunRecord

SCHEMA = Path(__file__).parents[2] / "schemas" / "model_report.schema.json"
MOVED = Placement("b", 2, ("node a was lost",))
AGAIN = "started again on node b, because node a was lost"
ASKED = ResourcesSpec(cpus=2.0, gpus=1, memory=8 * 2**30)


def run_on(placement: Placement, resources: ResourcesSpec | None = ASKED, repeats: int = 1) -> Run:
    test = ModelTest(name="T", line=3, env=("team",), ibannotator="p", time_limit=60, resources=resources)
    run = Run(Case(test, "team", repeats=repeats), job_id="j1")
    add_repeats(run)
    run.trainings[-1].placement = placement
    return run


def record_of(run: Run, outcome: str = "passed") -> RunRecord:
    node = SimpleNamespace(
        nodeid="m.yaml::T::team",
        model_test=run.case.test,
        environment=SimpleNamespace(name="team", host="https://team.example.com"),
    )
    phases = {"training": cast("PhaseOutcome", {"outcome": outcome})}
    return run_record(cast("Any", node), ("m.yaml", 3), run, phases)


def summary_of(pytester: pytest.Pytester, record: RunRecord) -> list[str]:
    out = io.StringIO()
    write_summary(pytest.TerminalReporter(pytester.parseconfig(), out), [record])
    return out.getvalue().splitlines()


def test_a_training_that_was_started_again_is_told_everywhere(pytester: pytest.Pytester) -> None:
    record = record_of(run_on(MOVED))
    written = json.loads(report(record).to_json())
    jsonschema.validate(written, json.loads(SCHEMA.read_text(encoding="utf-8")))
    (one,) = written["runs"]
    assert (one["node"], one["attempt"], one["attempts_lost"]) == ("b", 2, ["node a was lost"])
    assert one["resources"] == {"cpus": 2.0, "gpus": 1, "memory": 8 * 2**30}
    known = dict(properties(record, f"{record.nodeid}::test_training"))
    assert (known["node"], known["attempt"], known["attempt_lost"]) == ("b", "2", "node a was lost")
    assert known["resources"] == "2 CPUs, 1 GPU, 8 GiB of memory"
    assert f"  {AGAIN}" in summary_of(pytester, record)
    html = page(report(record))
    for text in ("<dt>Node</dt><dd><bdi>b (attempt 2)</bdi>", "<dt>Resources</dt>", AGAIN):
        assert text in html


def test_a_first_attempt_is_told_only_where_its_node_is_known(pytester: pytest.Pytester) -> None:
    here, there = record_of(run_on(Placement("", 1), None)), record_of(run_on(Placement("a", 1), None))
    assert (here.node, here.attempt, here.resources) == (None, None, None)
    assert (there.node, there.attempt) == ("a", 1)
    for record in (here, there):
        assert not any("started again" in line for line in summary_of(pytester, record))


def test_a_repeat_that_was_started_again_is_named(pytester: pytest.Pytester) -> None:
    record = record_of(run_on(MOVED, repeats=2))
    assert (record.node, record.repeats[0].node, record.repeats[1].node) == (None, None, "b")
    assert f"  repeat 2 of 2 (seed 43): {AGAIN}" in summary_of(pytester, record)


def test_a_training_that_was_lost_too_often_fails_with_all_that_is_known() -> None:
    failure = EnvironmentUnavailable("node b was lost, and no retries are left")
    failure.run = run_on(Placement("b", 2, ("node a was lost", "node b was lost")))
    lines = failure_text(failure, "m.yaml:3").splitlines()
    assert lines[0] == "environment unavailable: node b was lost, and no retries are left"
    assert lines[-1] == "started again on node b, because node a was lost and node b was lost"


@pytest.mark.parametrize(
    ("size", "text"),
    [(2**33, "8 GiB"), (3 * 2**29, "1536 MiB"), (8 * 10**9, "8 GB"), (2**30 + 1, "1.0 GiB"), (2**20 + 1, "1.0 MiB")],
)
def test_memory_is_written_as_people_ask_for_it(size: int, text: str) -> None:
    assert memory_text(size) == text


def test_sandboxes_show_their_nodes_and_queue() -> None:
    node = NodeStatus(name="a", state="alive", cpus=16, gpus=1, memory=2**36, running=3, slots=16, free=13)
    dead = NodeStatus(name="b\n::error::", state="lost", cpus=16, gpus=0, running=0, slots=16, free=16)
    team = SandboxStatus(version="0.1.0", executor="ray", nodes=[node, dead], queue=1, max_jobs=32)
    facts = [
        EnvironmentFacts("team", "https://t", True, True, sandbox=team),
        EnvironmentFacts("far", "https://f", True),
    ]
    assert environment_lines(facts, "tiny")[3:] == [
        "",
        "team: sandbox 0.1.0, executor ray, 13 of 16 slots free, 1 job in the queue",
        "  node         state  cpus  gpus    memory  running  free slots",
        "  a            alive    16     1  64.0 GiB        3    13 of 16",
        "  b ::error::  lost     16     0         -        0           -",
    ]


def test_the_sample_without_a_node_has_no_such_property() -> None:
    names = {name for name, _ in properties(PASSED, f"{PASSED.nodeid}::test_training")}
    assert not names & {"node", "attempt", "attempt_lost", "resources"}
