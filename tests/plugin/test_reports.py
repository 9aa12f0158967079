"""All reports of the same model tests, with and without xdist."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from junitparser import Failure, JUnitXml, Properties, Skipped

from tests.conftest import ROOT as PROJECT_ROOT
from tests.plugin.conftest import PROJECT, ROOT, TINY, TOKEN, Server

if TYPE_CHECKING:
    from pathlib import Path

    from junitparser import TestCase

VOLATILE = {"host", "job_id", "started", "finished", "seconds", "peak_memory", "text", "job_log", "links"}
SCHEMA = json.loads((PROJECT_ROOT / "schemas" / "model_report.schema.json").read_text())


@dataclass(frozen=True)
class Reported:
    """A run of pytest and the files that it wrote."""

    exit_status: int
    output: str
    annotations: str
    report: dict[str, Any]
    cases: dict[str, TestCase]
    job_summary: str
    uploads: int

    def runs(self, *environments: str) -> list[dict[str, Any]]:
        """The records on these environments, without values that change from run to run."""
        return [steady(run) for run in self.report["runs"] if run["environment"] in environments]

    def properties(self, *environments: str) -> dict[str, dict[str, str]]:
        return {
            nodeid: {
                name: value
                for name, value in properties(case).items()
                if name not in VOLATILE and not name.startswith("seconds.")
            }
            for nodeid, case in self.cases.items()
            if nodeid.split("::")[2] in environments
        }

    def verdicts(self, *environments: str) -> dict[str, list[tuple[str, str]]]:
        return {
            nodeid: [(type(result).__name__, str(result.type)) for result in case.result]
            for nodeid, case in self.cases.items()
            if nodeid.split("::")[2] in environments
        }


def steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: steady(kept) for key, kept in value.items() if key not in VOLATILE}
    return [steady(kept) for kept in value] if isinstance(value, list) else value


def properties(case: TestCase) -> dict[str, str]:
    group = case.child(Properties)  # type: ignore[no-untyped-call]
    return {} if group is None else {str(item.name): str(item.value) for item in group}


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a good model on three environments, a model below a minimum on two, a spoiled model on one."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(TINY, folder / "tiny")
    (folder / "pytest.ini").write_text("[pytest]\nibmodels_package = tiny\n")
    names = ["a", "b", "c"]
    entries = {name: {"host": server.url, "path": f"{ROOT}-{name}", "token": "${DOGFOOD_TOKEN}"} for name in names}
    (folder / "environments.yaml").write_text(yaml.safe_dump(entries))
    good = {"env": names, "metrics": {"f1": {"Name": 0.9}}, "inference": {"documents": "all"}}
    good["resources"] = {"cpus": 2, "memory": "512 MiB"}
    high = {"env": names[:2], "metrics": {"f1": {"Name": 1.01, "Total": 0.5}}, "config": {"log": "\x1b[31mred\x1b[0m"}}
    spoiled = {"env": "a", "config": {"corrupt": "Name"}, "inference": {"documents": 2}}
    shared = {"ibannotator": PROJECT, "time_limit": 60, "config": {}, "metrics": {}}
    tests = {"Good": {**shared, **good}, "High": {**shared, **high}, "Spoiled": {**shared, **spoiled}}
    (folder / "model_tests.yaml").write_text(yaml.safe_dump(tests, sort_keys=False))
    return folder


def report(folder: Path, server: Server, *args: str) -> Reported:
    out = folder / "-".join(["out", *args]).replace(",", "")
    out.mkdir()
    (out / "summary.md").write_text("of an earlier command\n")
    environment = os.environ | {
        "DOGFOOD_TOKEN": TOKEN,
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(out / "summary.md"),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={out / 'junit.xml'}", *args]
    command += [f"--model-report={out / 'new' / 'report.json'}"]
    before = server.jobs("unzip")
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    return Reported(
        exit_status=result.returncode,
        output=result.stdout,
        annotations=result.stderr,
        report=json.loads((out / "new" / "report.json").read_text()),
        cases=cases(out / "junit.xml"),
        job_summary=(out / "summary.md").read_text(),
        uploads=server.jobs("unzip") - before,
    )


def cases(junit: Path) -> dict[str, TestCase]:
    found = [case for suite in JUnitXml.fromfile(str(junit)) for case in suite]
    return {properties(case)["nodeid"]: case for case in found}


@pytest.fixture(scope="module")
def plain(folder: Path, server: Server) -> Reported:
    return report(folder, server)


@pytest.fixture(scope="module")
def three_workers(folder: Path, server: Server) -> Reported:
    return report(folder, server, "-n", "3")


@pytest.fixture(scope="module")
def two_of_three(folder: Path, server: Server) -> Reported:
    return report(folder, server, "--env", "a,b", "-n", "4")


def test_three_workers_report_what_one_process_reports(plain: Reported, three_workers: Reported) -> None:
    everywhere = ("a", "b", "c")
    assert plain.exit_status == three_workers.exit_status == pytest.ExitCode.TESTS_FAILED
    assert len(plain.runs(*everywhere)) == 6
    assert three_workers.runs(*everywhere) == plain.runs(*everywhere)
    assert three_workers.properties(*everywhere) == plain.properties(*everywhere)
    assert three_workers.verdicts(*everywhere) == plain.verdicts(*everywhere)
    assert plain.uploads == three_workers.uploads == 3


def test_chosen_environments_report_what_they_report_among_all(plain: Reported, two_of_three: Reported) -> None:
    assert len(two_of_three.report["runs"]) == 5
    assert two_of_three.runs("a", "b") == plain.runs("a", "b")
    assert two_of_three.properties("a", "b") == plain.properties("a", "b")
    assert two_of_three.verdicts("a", "b") == plain.verdicts("a", "b")
    assert two_of_three.uploads == 2


@pytest.mark.parametrize("mode", ["plain", "three_workers"])
def test_the_report_keeps_to_its_schema_and_holds_what_is_known(mode: str, request: pytest.FixtureRequest) -> None:
    written: Reported = request.getfixturevalue(mode)
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(written.report)
    assert written.report["session"]["exit_status"] == 1
    run = written.report["runs"][0]
    assert (run["nodeid"], run["file"], run["line"]) == ("model_tests.yaml::Good::a", "model_tests.yaml", 1)
    assert (run["route"], run["package"]["name"], run["package"]["version"]) == ("annotator", "tiny", "0.0.1")
    assert run["started"] < run["finished"]
    assert run["seconds"]["training"] > 0
    assert all(value >= 0 for value in run["seconds"].values())
    assert run["training"]["checks"][0]["margin"] == pytest.approx(0.1)
    assert [(point["epoch"], point["loss"]) for point in run["training"]["history"]] == [
        (1.0, 0.5),
        (1.0, None),
        (2.0, 0.25),
        (2.0, None),
    ]
    assert run["training"]["history"][-1]["metrics"]["f1"] == {"Name": 1.0, "Total": 1.0}
    assert (len(run["inference"]["documents"]), run["inference"]["fields"]) == (3, 6)
    assert run["resources"] == {"cpus": 2.0, "gpus": 0, "memory": 2**29}
    assert (run["node"], run["attempt"], run["attempts_lost"]) == (None, None, [])
    assert run["links"]["job log"].endswith(f"/classifier/logs/{run['job_id']}")
    assert "/apps/refiner-v5/edit/acme/ci/fs/" in run["links"]["Refiner"]
    high = written.report["runs"][3]
    assert high["training"]["failure"]["kind"] == "metrics"
    assert high["inference"]["outcome"] == "skipped"
    assert high["inference"]["reason"] == "its training failed (metrics)"
    spoiled = written.report["runs"][5]
    assert [row["at_inference"] for row in spoiled["inference"]["differences"]] == ["Ada Lovelac", "Alan Turin"]
    assert TOKEN not in json.dumps(written.report)


@pytest.mark.parametrize("mode", ["plain", "three_workers"])
def test_the_junit_file_holds_properties_kinds_and_the_jobs_log(mode: str, request: pytest.FixtureRequest) -> None:
    cases = request.getfixturevalue(mode).cases
    passed, failed = (cases[f"model_tests.yaml::{name}::a::test_training"] for name in ("Good", "High"))
    assert (failed.classname, failed.name) == ("model_tests.yaml.High.a", "test_training")
    assert passed.is_passed
    known = properties(failed)
    assert known["observed.f1.Name"] == "1"
    assert known["minimum.f1.Name"] == "1.01"
    assert known["package.version"] == "0.0.1"
    assert len(known["package.content_hash"]) == 64
    assert {"environment", "host", "job_id", "seconds.upload", "seconds.queue", "seconds.training"} <= known.keys()
    assert properties(passed)["resources"] == "2 CPUs, 512 MiB of memory"
    assert not {"resources", "node", "attempt"} & known.keys()
    served = properties(cases["model_tests.yaml::Good::a::test_inference"])
    assert served["documents_compared"] == "3"
    assert float(served["seconds.inference"]) > 0
    (failure,) = failed.result
    assert isinstance(failure, Failure)
    assert failure.type == "metrics"
    assert failure.message == "metrics: 1 of 2 metrics did not reach the minimum"
    assert "  f1      Name     1.0100    1.0000  too low by 0.0100" in str(failure.text)
    assert "log | red" in str(failure.text)
    assert "training Good_" in str(passed.system_out)
    assert "red" in str(failed.system_out)
    assert not [code for code in ("\x1b", "#x1B", "[31m") if code in f"{failed.system_out}{failure.text}"]
    (skipped,) = cases["model_tests.yaml::High::a::test_inference"].result
    assert isinstance(skipped, Skipped)
    (differs,) = cases["model_tests.yaml::Spoiled::a::test_inference"].result
    assert differs.type == "predictions differ"


@pytest.mark.parametrize("mode", ["plain", "three_workers"])
def test_on_github_a_summary_is_appended_once_and_failures_are_annotated(
    mode: str, request: pytest.FixtureRequest
) -> None:
    written: Reported = request.getfixturevalue(mode)
    text = written.job_summary
    assert text.startswith("of an earlier command\n## Model tests\n")
    assert text.count("## Model tests\n") == 1
    assert "| Good | a | ✅ passed | ✅ passed | upload " in text
    assert "| High | b | ❌ metrics | skipped (its training failed (metrics)) | upload " in text
    assert "| High | a | f1 | Name | 1.0000 | 1.0100 | **-0.0100** |" in text
    assert "[job log](http://127.0.0.1:" in text
    assert "### Side by side" in text
    line = written.report["runs"][3]["line"]
    assert written.annotations.count(f"::error file=model_tests.yaml,line={line}::") == 2
    assert "metrics: 1 of 2 metrics did not reach the minimum" in written.annotations


def test_the_terminal_puts_environments_side_by_side(plain: Reported, two_of_three: Reported) -> None:
    for written, header in ((plain, "a         b         c"), (two_of_three, "a         b")):
        assert "= environments side by side =" in written.output
        assert header in written.output
    assert "High        Name   f1      1.0000    1.0000         -" in plain.output
    assert "Good        Name   f1      1.0000    1.0000    1.0000" in plain.output
    assert "model report: " in plain.output
