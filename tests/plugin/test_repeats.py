"""Cases that train several times, with other seeds: the mean is judged, and nothing is left behind."""

from __future__ import annotations

import json
import signal
import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.test_recovery import QUICK, accepted, left, running, trainings, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Project, Server


def results(name: float, total: float = 1.0) -> dict[str, Any]:
    values = {"Name": name, "Total": total}
    return {"results": dict.fromkeys(("precision", "recall", "f1", "exact_match"), values)}


def by_seed(*names: float, first: int = 42, **further: object) -> dict[str, Any]:
    """A config whose trainings report another F1 of Name with each seed."""
    return {"by_seed": {str(first + number): results(name) for number, name in enumerate(names)}, **further}


NOISY = by_seed(0.8, 0.95, 0.98)  # its mean is 0.91


def report(path: Path) -> dict[str, Any]:
    (run,) = json.loads(path.read_text())["runs"]
    assert isinstance(run, dict)
    return run


def test_the_mean_is_judged_and_a_noisy_case_is_called_so(served: Project, server: Server) -> None:
    unzips = server.jobs("unzip")
    before = trainings(server)
    served.write_tests(Noisy={"config": NOISY, "metrics": {"f1": {"Name": 0.9, "Total": 0.9}}, "repeats": 3})
    path = served.pytester.path
    result = served.run("--model-report", "r.json", "--model-report", "r.html", "--junitxml", "j.xml")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "Noisy on dogfood: trained 3 times in *, *, * s, with the seeds 42, 43, 44",
            "  jobs *, *, *; inference serves the model of the first",
            "  metric  field         observed  minimum   margin                      repeats",
            "  f1      Name   0.9100 ± 0.0964   0.9000  +0.0100  noisy, 2 of 3 pass  0.8000, 0.9500, 0.9800",
            "  f1      Total  1.0000 ± 0.0000   0.9000  +0.1000*1.0000, 1.0000, 1.0000",
            "  noisy: 2 of 3 repeats pass; f1 of Name falls on both sides of its minimum of 0.9000 (0.8000, 0.9500, *)",
        ]
    )
    assert trainings(server) == before + 3
    assert server.jobs("unzip") == unzips + 1
    assert server.left_over() == []

    run = report(path / "r.json")
    assert [(one["seed"], one["passed"]) for one in run["repeats"]] == [(42, False), (43, True), (44, True)]
    assert len({one["job_id"] for one in run["repeats"]}) == 3
    assert run["job_id"] == run["repeats"][0]["job_id"]
    assert all(one["seconds"] > 0 for one in run["repeats"])
    values = [{(v["metric"], v["field"]): v["value"] for v in one["values"]} for one in run["repeats"]]
    assert [one["f1", "Name"] for one in values] == [0.8, 0.95, 0.98]
    name, _total = run["training"]["checks"]
    assert name["repeats"] == [0.8, 0.95, 0.98]
    assert name["observed"] == pytest.approx(0.91)
    assert name["spread"] == pytest.approx(0.0964365)
    assert run["notes"][-1].startswith("noisy: 2 of 3 repeats pass")
    means = {(v["metric"], v["field"]): v["value"] for v in run["training"]["values"]}
    assert means["f1", "Name"] == pytest.approx(0.91)

    page = (path / "r.html").read_text()
    for text in ("Seed 42", "Seed 44", "0.9100 ± 0.0964", "noisy: 2 of 3 repeats pass"):
        assert text in page
    training = ET.parse(path / "j.xml").getroot().find(".//testcase[@name='test_training']")  # noqa: S314
    assert training is not None
    properties = {one.get("name"): one.get("value") for one in training.iter("property")}
    assert properties["seeds"] == "42 43 44"
    assert properties["repeats.f1.Name"] == "0.8 0.95 0.98"
    assert properties["spread.f1.Name"] == "0.0964365"
    assert str(properties["noisy"]).startswith("noisy: 2 of 3")


def test_a_mean_below_the_minimum_fails_although_a_repeat_passes(
    served: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = served.pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    served.write_tests(Low={"config": NOISY, "metrics": {"f1": {"Name": 0.96}}})
    result = served.run("--model-repeats", "3")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "metrics: 1 of 1 metrics did not reach the minimum in the mean of 3 repeats",
            "  f1      Name     0.9600  0.9100 ± 0.0964  too low by 0.0500*0.8000, 0.9500, 0.9800",
            "noisy: 1 of 3 repeats passes; f1 of Name falls on both sides of its minimum of 0.9600 *",
            "seed 42: training job *",
            "seed 44: training job *",
        ]
    )
    text = summary.read_text()
    assert "0.9100 ± 0.0964" in text
    assert "0.8000, 0.9500, 0.9800" in text
    assert "### Noise" in text


def test_seeds_are_counted_from_that_of_the_config(served: Project) -> None:
    served.write_tests(
        Seven={"config": by_seed(0.5, 1.0, first=7, seed=7), "metrics": {"f1": {"Name": 0.75}}, "repeats": 2}
    )
    result = served.run("-m", "training", "--model-report", "r.json")
    result.assert_outcomes(passed=1)
    assert [one["seed"] for one in report(served.pytester.path / "r.json")["repeats"]] == [7, 8]


def test_the_option_wins_and_one_repeat_is_none(served: Project) -> None:
    served.write_tests(One={"config": NOISY, "metrics": {"f1": {"Name": 0.9}}, "repeats": 3})
    result = served.run("--model-repeats=1", "--model-report", "r.json")
    result.assert_outcomes(passed=2)  # without a seed the tiny training is perfect
    run = report(served.pytester.path / "r.json")
    assert run["repeats"] == []
    assert run["training"]["checks"][0]["spread"] is None


@pytest.mark.parametrize("value", ["0", "21", "two", "1.5"])
def test_other_numbers_are_refused(project: Project, value: str) -> None:
    result = project.run(f"--model-repeats={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--model-repeats: should be a whole number from 1 to 20, but is '{value}'"])


def test_a_seed_that_is_no_number_fails_the_case(served: Project) -> None:
    served.write_tests(Text={"config": {"seed": "x"}})
    result = served.run("--model-repeats=2")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["config: `config.seed` is 'x', but has to be a whole number, as repeats count*"])


def test_a_repeat_that_fails_to_train_fails_the_case_and_cancels_the_others(served: Project, server: Server) -> None:
    before = trainings(server)
    config = {"sleep": 60, "by_seed": {"43": {"sleep": 0, "raise": "no convergence", "log": "epoch 1\n"}}}
    served.write_tests(Fails={"config": config, "metrics": {"f1": {"Name": 0.9}}, "repeats": 3})
    begun = time.monotonic()
    result = served.run("--model-report", "r.json")
    assert time.monotonic() - begun < 40
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "training failed: repeat 2 of 3 (seed 43): *no convergence*",
            "repeat 3 of 3 (seed 44): job * was cancelled",
            "log of the training job, its last lines:",
            "  log | job *, repeat 2 of 3 (seed 43):",
            "  log | epoch 1",
        ]
    )
    assert trainings(server) == before + 3
    assert server.left_over() == []
    assert server.training_processes() == []
    assert [one["passed"] for one in report(served.pytester.path / "r.json")["repeats"]] == [None] * 3


def test_each_training_has_the_time_limit_of_its_own(served: Project, server: Server) -> None:
    config = {"by_seed": {"43": {"sleep": 60}}}
    served.write_tests(Late={"config": config, "time_limit": 3, "repeats": 2})
    result = served.run(*QUICK)
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["time limit: repeat 2 of 2 (seed 43): the job did not end within the time_limit of 3 s*"]
    )
    assert server.training_processes() == []
    assert server.left_over() == []


def test_max_parallel_bounds_the_repeats(served: Project, server: Server) -> None:
    environment = (served.pytester.path / "environments.yaml").read_text()
    (served.pytester.path / "environments.yaml").write_text(environment.replace("path:", "max_parallel: 1\n  path:", 1))
    served.write_tests(Turns={"config": {"sleep": 2}, "repeats": 3})
    result = served.run("-m", "training", "--model-report", "r.json", "-s", *QUICK)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*Turns on dogfood: training, *, 1 of 3 repeats ended, *"])
    run = report(served.pytester.path / "r.json")
    assert sum(one["seconds"] for one in run["repeats"]) > 5


def test_ctrl_c_leaves_nothing_of_any_repeat(served: Project, server: Server) -> None:
    served.write_tests(Slow={"config": {"sleep": 60}, "repeats": 3})
    with running(served) as process:
        wait_for(served, accepted(3))
        process.send_signal(signal.SIGINT)
        process.wait(15)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert left(served) == []
    assert server.left_over() == []
    assert server.training_processes() == []


def test_after_a_kill_reattach_continues_each_repeat(served: Project, server: Server) -> None:
    served.write_tests(
        Slow={"config": {"sleep": 8, **NOISY}, "metrics": {"f1": {"Name": 0.9}}, "repeats": 3}, Quick={"repeats": 2}
    )
    before = trainings(server)
    with running(served, "-k", "Slow", "-m", "training") as process:
        wait_for(served, accepted(3))
        process.kill()
        process.wait(10)
    assert len([entry for entry in left(served) if entry.kind == "job"]) == 3
    result = served.run("-k", "Slow", "--reattach", "--model-report", "r.json", *QUICK)
    result.assert_outcomes(passed=2, deselected=2)
    run = report(served.pytester.path / "r.json")
    assert [one["reattached"] for one in run["repeats"]] == [True] * 3
    assert not any("is not continued" in note for note in run["notes"])
    assert trainings(server) == before + 3
    assert left(served) == []
    assert server.left_over() == []


def test_the_first_failure_of_x_cancels_the_repeats_of_other_cases(served: Project, server: Server) -> None:
    served.write_tests(Bad={"config": {"raise": "no"}, "repeats": 2}, Slow={"config": {"sleep": 60}, "repeats": 2})
    begun = time.monotonic()
    served.run("-x").assert_outcomes(failed=1)
    assert time.monotonic() - begun < 40
    assert server.left_over() == []
    assert server.training_processes() == []


def test_workers_of_xdist_bring_the_repeats_into_the_report(served: Project, server: Server) -> None:
    served.write_tests(
        Both={"env": ["dogfood", "staging"], "config": NOISY, "metrics": {"f1": {"Name": 0.9}}, "repeats": 3}
    )
    served.run("-n2", "--model-report", "r.json").assert_outcomes(passed=4)
    runs = json.loads((served.pytester.path / "r.json").read_text())["runs"]
    assert [[one["seed"] for one in run["repeats"]] for run in runs] == [[42, 43, 44]] * 2
    assert server.left_over() == []


def test_reruns_train_all_repeats_again(served: Project, server: Server) -> None:
    before = trainings(server)
    served.write_tests(Low={"config": NOISY, "metrics": {"f1": {"Name": 0.96}}, "repeats": 3})
    served.run("-m", "training", "--reruns", "1").assert_outcomes(failed=1)
    assert trainings(server) == before + 6


def test_hooks_see_the_mean(served: Project) -> None:
    served.pytester.makeconftest(
        "def pytest_ibmodels_verdict(run, phase):\n"
        "    if phase == 'training':\n"
        "        assert run.test.repeats == 3\n"
        "        return f\"mean {run.metrics['f1']['Name']:.2f}\"\n"
    )
    served.write_tests(Seen={"config": NOISY, "repeats": 3})
    result = served.run("-m", "training")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["check: mean 0.91"])
