"""Extensions of a project: hooks, overridden fixtures, and the keys of a model test that are for pytest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.plugin.conftest import PROJECT, ROOT, TINY, TOKEN, Project, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE = Path(__file__).parents[2] / "docs" / "extending.md"
CONFTEST = """
import json
import pytest
from pytest_ibmodels.hooks import MetricCheck

def note(config, what, run):
    with (config.rootpath / "calls.jsonl").open("a") as file:
        failed = run.failure and [run.failure.phase, run.failure.kind]
        file.write(json.dumps([what, run.test.name, bool(run.job_id), failed, sorted(run.seconds)]) + "\\n")

def pytest_ibmodels_run_started(config, run):
    note(config, "started", run)
    if run.test.name == "RaisesAtStart":
        raise KeyError("at start")

def pytest_ibmodels_run_finished(config, run):
    note(config, "finished", run)
    if run.test.name in {"RaisesAtEnd", "Expected"}:
        raise KeyError("at end")

def pytest_ibmodels_verdict(config, run, phase):
    note(config, phase, run)
    name = run.test.name
    if name == "Good":
        assert run.metrics["f1"] == {"Name": 1.0, "Total": 1.0}
        assert run.package.name == "tiny" and run.host and run.environment == "dogfood"
        texts = [fields["Name"] for fields in run.predictions.values()]
        assert texts == ["Ada Lovelace", "Alan Turing", "Grace Hopper"]
        return [MetricCheck("own", phase, 0.5, 0.75)]
    if name == "Low" and phase == "training":
        return [MetricCheck("own", "all", 0.9, 0.8), "it is too slow"]
    if name == "Own" and phase == "training":
        return [MetricCheck("own", "all", 0.9, 0.8), MetricCheck("other", "all", 0.9, None, "nobody counted")]
    if name == "Spoiled" and phase == "inference":
        return f"{len(run.differences)} differ, and so do I"
    if name == "Served" and phase == "inference":
        return "served, but not well"
    if name == "Raises":
        return [1 / 0]
    if name == "Wrong":
        return 5
"""


@dataclass(frozen=True)
class Outcome:
    """Output, reports and hook calls of one session."""

    code: int
    output: str
    runs: Mapping[str, Any]
    calls: list[list[Any]]

    def of(self, name: str) -> tuple[str, str, str]:
        """The outcomes of both phases, and the kind of the failure."""
        run = self.runs[name]
        failure = run["training"]["failure"] or run["inference"]["failure"] or {"kind": ""}
        return run["training"]["outcome"], run["inference"]["outcome"], failure["kind"]

    def text(self, name: str) -> str:
        """The text of the failure."""
        run = self.runs[name]
        text: str = (run["training"]["failure"] or run["inference"]["failure"])["text"]
        return text

    def calls_for(self, name: str) -> list[str]:
        return [what for what, test, *_ in self.calls if test == name]


def session(server: Server, folder: Path, conftest: str, tests: Mapping[str, Any], *args: str) -> Outcome:
    """Run pytest in a project of its own, in a process of its own."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(TINY, folder / "tiny")
    (folder / "pytest.ini").write_text("[pytest]\nibmodels_package = tiny\n")
    (folder / "conftest.py").write_text(conftest)
    entry = {"host": server.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}"}
    (folder / "environments.yaml").write_text(yaml.safe_dump({"dogfood": entry, "staging": entry}))
    defaults = {"env": "dogfood", "ibannotator": PROJECT, "time_limit": 60}
    entries = {name: defaults | test for name, test in tests.items()}
    (folder / "model_tests.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--model-report=report.json", *args]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"DOGFOOD_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    runs = {run["test"]: run for run in json.loads((folder / "report.json").read_text())["runs"]}
    calls = folder / "calls.jsonl"
    lines = calls.read_text().splitlines() if calls.exists() else []
    return Outcome(done.returncode, done.stdout, runs, [json.loads(line) for line in lines])


@pytest.fixture(scope="module")
def hooked(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("hooked")
    shutil.copytree(TINY, folder / "next" / "tiny")
    (folder / "next" / "tiny" / "extra.py").write_text("")
    tests: dict[str, Any] = {
        "Good": {"inference": {"documents": "all"}, "config": {"sleep": 3.0}},  # the others begin meanwhile
        "Low": {"metrics": {"f1": {"Name": 1.01}}},
        "Own": {"metrics": {"f1": {"Name": 0.5}}},
        "Spoiled": {"config": {"corrupt": "Name"}},
        "Served": {"package": "next/tiny"},
        "Raises": {},
        "RaisesAtStart": {},
        "RaisesAtEnd": {},
        "Wrong": {},
        "NoPackage": {"package": "nowhere"},
        "Skipped": {"skip": "not today"},
        "Expected": {"xfail": "known to fail", "config": {"raise": "boom"}},
    }
    return session(server, folder, CONFTEST, tests, "-rxs")


def test_hooks_are_called_once_each_and_in_order(hooked: Outcome, server: Server) -> None:
    assert hooked.calls_for("Good") == ["started", "training", "inference", "finished"]
    assert hooked.calls_for("Own") == ["started", "training", "finished"]
    assert hooked.calls_for("Expected") == ["started", "finished"]
    assert hooked.calls_for("NoPackage") == hooked.calls_for("Skipped") == []
    calls = {(what, name): rest for what, name, *rest in hooked.calls}
    assert all(with_job for with_job, *_ in calls.values())
    assert calls["finished", "Good"][1:] == [None, ["inference", "queue", "training", "upload"]]
    assert calls["finished", "Own"][1] == ["training", "check"]
    assert calls["training", "Low"][1] == ["training", "metrics"]
    assert calls["finished", "Raises"][1] == ["training", "error"]
    order = list(calls)
    assert order.index(("started", "Low")) < order.index(("finished", "Good"))  # while the item of Good was waiting
    assert server.left_over() == []


def test_checks_of_the_project_are_reported_like_others(hooked: Outcome) -> None:
    assert hooked.of("Good") == ("passed", "passed", "")
    for phase in ("training", "inference"):
        (check,) = hooked.runs["Good"][phase]["checks"]
        assert (check["metric"], check["field"], check["margin"], check["passed"]) == ("own", phase, 0.25, True)
    assert "  own     training    0.7500   0.5000  +0.2500\nGood on dogfood: served; 6 fields" in hooked.output
    assert "  own     inference    0.7500   0.5000  +0.2500" in hooked.output


def test_a_check_that_fails_fails_its_phase(hooked: Outcome) -> None:
    assert hooked.of("Own") == ("failed", "skipped", "check")
    assert hooked.text("Own").splitlines()[:7] == [
        "check: own of all is 0.8000, below its minimum of 0.9000; other of all: nobody counted",
        "",
        "  metric  field  required  observed",
        "  f1      Name     0.5000    1.0000",
        "  own     all      0.9000    0.8000  too low by 0.1000",
        "  other   all      0.9000         -  nobody counted",
        "",
    ]
    assert hooked.runs["Own"]["inference"]["reason"] == "its training failed (check)"
    assert hooked.of("Served") == ("passed", "failed", "check")
    assert hooked.text("Served").splitlines()[:2] == ["check: served, but not well", ""]


def test_a_check_beside_a_failure_keeps_its_kind(hooked: Outcome) -> None:
    assert hooked.of("Low") == ("failed", "skipped", "metrics")
    lines = hooked.text("Low").splitlines()
    assert lines[0] == "metrics: 2 of 2 metrics did not reach the minimum; it is too slow"
    assert "  own     all      0.9000    0.8000  too low by 0.1000" in lines
    assert hooked.of("Spoiled") == ("passed", "failed", "predictions differ")
    assert hooked.text("Spoiled").splitlines()[0] == (
        "predictions differ: 1 of 2 fields differ from training; 1 differ, and so do I"
    )


def test_a_hook_that_raises_fails_its_own_run_with_its_own_traceback(hooked: Outcome) -> None:
    assert hooked.of("Raises") == ("failed", "skipped", "error")
    assert re.search(r"return \[1 / 0\]\n.*\nE +ZeroDivisionError", hooked.output)
    assert hooked.of("RaisesAtStart") == ("failed", "passed", "error")
    assert hooked.of("RaisesAtEnd") == ("passed", "failed", "error")
    for place in ("start", "end"):
        assert re.search(rf'raise KeyError\("at {place}"\)\nE +KeyError', hooked.output)
    assert "pluggy/" not in hooked.output
    assert hooked.of("Wrong") == ("failed", "skipped", "config")
    assert hooked.text("Wrong").startswith(
        "config: a hook pytest_ibmodels_verdict returned 5: it should return MetricChecks and sentences\n"
    )


def test_a_hook_that_raises_beside_a_failure_is_told_below_it(hooked: Outcome) -> None:
    text = hooked.text("Expected")
    assert text.startswith("training failed: RuntimeError: boom\n")
    assert text.index("a hook raised, too:\n") < text.index("KeyError: 'at end'")


def test_a_package_of_its_own_is_pushed_for_a_model_test(hooked: Outcome) -> None:
    hashes = {name: run["package"]["content_hash"] for name, run in hooked.runs.items() if run["package"]}
    assert [name for name, digest in hashes.items() if digest != hashes["Good"]] == ["Served"]
    # The folder of an upload is in the names of the models that are trained from it.
    uploads = {
        name: re.findall(rf"training {name}_(\w+)_\d+ on", "\n".join(hooked.runs[name]["job_log"])) for name in hashes
    }
    assert all(len(found) == 1 for found in uploads.values())
    assert [name for name, found in uploads.items() if found != uploads["Good"]] == ["Served"]
    assert hooked.of("NoPackage") == ("failed", "failed", "config")
    assert re.match(r"config: .*/nowhere: no such folder; it should", hooked.text("NoPackage"))


def test_reasons_to_skip_and_to_fail(hooked: Outcome) -> None:
    assert hooked.of("Skipped") == ("skipped", "skipped", "")
    line = next(number for number, text in enumerate(hooked.output.splitlines()) if "not today" in text)
    assert re.fullmatch(r"SKIPPED \[2\] model_tests.yaml:\d+: not today", hooked.output.splitlines()[line])
    assert hooked.of("Expected") == ("xfailed", "skipped", "training failed")
    assert "known to fail" in hooked.output


def test_the_examples_of_the_document_do_what_they_say(server: Server, tmp_path: Path) -> None:
    examples = re.findall(r"^```python\n# conftest.py\n(.*?)^```$", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 4
    (tmp_path / "spy.py").write_text(
        "def pytest_ibmodels_run_finished(run):\n    assert 'tiny/commit.txt' in run.package.files\n"
    )
    tests = {
        "Both": {"env": ["dogfood", "staging"]},
        "Weak": {"config": {"results": {"f1": {"Name": 0.9, "Total": 0.5}}}},
    }
    done = session(server, tmp_path, "\n".join(examples), tests, "-n2", "-rs", "-pspy")
    assert done.of("Weak") == ("failed", "skipped", "check")
    assert done.text("Weak").startswith("check: mean f1 of all fields is 0.7000, below its minimum of 0.8000\n")
    assert "  mean f1  all fields    1.0000   0.8000  +0.2000" in done.output
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert sorted((line["test"], line["environment"], line["failure"] is None) for line in lines) == [
        ("Both", "dogfood", True),
        ("Weak", "dogfood", False),
    ]
    assert "staging is down: set STAGING_IS_UP once it is back" in done.output
    assert server.left_over() == []


def test_a_check_on_training_counts_where_only_inference_is_selected(server: Server, tmp_path: Path) -> None:
    conftest = "def pytest_ibmodels_verdict(phase):\n    return f'{phase} is bad'\n"
    done = session(server, tmp_path, conftest, {"Any": {}}, "-m", "inference")
    assert done.of("Any") == ("failed", "failed", "check")
    assert done.text("Any").startswith("check: training is bad\n")


def test_marks_select_and_unknown_ones_are_told_at_their_line(project: Project) -> None:
    project.pytester.makeini("[pytest]\nmarkers =\n    nightly: at night\n    big\n")
    project.write_tests(One={"env": "sandbox", "marks": ["nightly", "big"]}, Two={"env": "sandbox", "marks": "nghtly"})
    tests = (project.pytester.path / "model_tests.yaml").read_text().splitlines()
    place = f"model_tests.yaml:{1 + tests.index('  marks: nghtly')}"
    in_process = project.pytester.runpytest_inprocess
    args = ("--collect-only", "-q", "-p", "no:cacheprovider")
    chosen = in_process(*args, "-m", "nightly and big and training", "-W", "ignore")
    assert [line for line in chosen.outlines if "::" in line] == ["model_tests.yaml::One::sandbox::test_training"]
    in_process(*args, "-W", "default").stdout.fnmatch_lines(
        [f"*{place}: PytestUnknownMarkWarning: there is no mark `nghtly`: did you mean `nightly`[?]"]
    )
    for strict in (["--strict-markers"], ["-W", "error"]):
        result = in_process(*args, *strict)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines([f"{place}:10: there is no mark `nghtly`: did you mean `nightly`[?]"])
        result.stdout.no_fnmatch_line("*Traceback*")
