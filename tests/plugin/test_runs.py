"""Whole runs: pytest in a process of its own, a real sandbox, a training that costs nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import PROJECT, ROOT, Project, Server
from tests.portal.client import Person

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = "acme/data/fs/Drive/project/Project_input/out/s2_map_records"


def test_a_good_model_passes_both_phases_and_leaves_nothing(served: Project, server: Server) -> None:
    served.write_tests(
        Good={"metrics": {"f1": {"Name": 0.9, "Total": 0.25}}, "inference": {"documents": "all"}},
        Plain={"inference": {"documents": 2}},
    )
    result = served.run()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "*= model tests =*",
            "Good on dogfood: trained in * s (job *)",
            "  metric  field  observed  minimum   margin",
            "  f1      Name     1.0000   0.9000  +0.1000",
            "  f1      Total    1.0000   0.2500  +0.7500",
            "Good on dogfood: served; 6 fields of 3 documents match training (* s)",
            "Plain on dogfood: trained in * s (job *)",
            "Plain on dogfood: served; 4 fields of 2 documents match training (* s)",
        ]
    )
    assert server.left_over() == []


def test_a_metric_below_its_minimum_fails_with_a_table_and_inference_is_skipped(
    served: Project, server: Server
) -> None:
    served.write_tests(High={"metrics": {"f1": {"Name": 1.01}, "recall": {"Name": 0.5, "Nmae": 0.5}}})
    result = served.run("-rs")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "metrics: 2 of 3 metrics did not reach the minimum",
            "  metric  field  required  observed",
            "  f1      Name     1.0100    1.0000  too low by 0.0100",
            "  recall  Name     0.5000    1.0000",
            "  recall  Nmae     0.5000         -  the model has no such field; its fields are Name, Total (*",
            "model test: model_tests.yaml:1",
            f"environment: dogfood ({server.url})",
            "training job: *",
            "log of the training job, its last lines:",
            "  log | training High_* on acme/data/fs/Drive/project/Project.ibannotator",
            "SKIPPED [[]1[]] model_tests.yaml:1: its training failed (metrics)",
        ]
    )
    result.stdout.no_fnmatch_line("*Error*")
    assert server.left_over() == []


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ({"f1": {"Name": "NAN"}}, "undefined (NaN): the field was never predicted, or has no annotated words*"),
        ({"recall": {"Name": 1.0}}, "the environment did not report this metric; it reported recall"),
        ({"f1": {"Name": None}}, "reported as null, without a value"),
        ({"f1": {"Name": "0.9"}}, 'reported as the text "0.9", not as a number'),
    ],
)
def test_what_is_no_metric_fails_with_a_sentence_of_its_own(served: Project, results: object, sentence: str) -> None:
    served.write_tests(Odd={"metrics": {"f1": {"Name": 0.1}}, "config": {"results": results}})
    result = served.run("-m", "training")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines([f"  f1      Name     0.1000         -  {sentence}"])


def test_a_model_that_predicts_otherwise_when_served_fails_with_the_differing_fields(served: Project) -> None:
    served.write_tests(Spoiled={"config": {"corrupt": "Name"}, "inference": {"documents": 2}})
    result = served.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "predictions differ: 2 of 4 fields differ from training",
            f"  document {DOCUMENT}/a.ibocr",
            "    field  at training     at inference",
            "    Name   'Ada Lovelace'  'Ada Lovelac'",
            f"  document {DOCUMENT}/b.ibocr",
            "    Name   'Alan Turing'  'Alan Turin'",
        ]
    )


def test_a_model_that_cannot_be_served_fails_with_its_own_words(served: Project, server: Server) -> None:
    served.write_tests(Broken={"config": {"corrupt": "crash"}})
    result = served.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            f"inference failed: the served model answered for none of 1 document; for {DOCUMENT}/a.ibocr: *",
            "log of the training job, its last lines:",
        ]
    )
    result.stdout.fnmatch_lines(["*the weights are broken*"])
    assert server.left_over() == []


def test_pushed_code_that_raises_fails_with_the_jobs_own_frames(served: Project, server: Server) -> None:
    served.write_tests(Boom={"config": {"raise": "boom"}})
    result = served.run()
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "training failed: RuntimeError: boom",
            "traceback of the job, its last frames (the pushed code, in the environment):",
            "  job | *training.py*in train",
            "  job | RuntimeError: boom",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_ibmodels/*")
    assert server.left_over() == []


def test_pushed_code_that_does_not_import_fails_with_the_jobs_own_frames(served: Project) -> None:
    (served.pytester.path / "tiny" / "training.py").write_text("import no_such_module\n")
    served.write_tests(Import={})
    result = served.run()
    result.stdout.fnmatch_lines(
        ["training failed: ModuleNotFoundError: No module named 'no_such_module'", "  job | *no_such_module*"]
    )


def test_past_the_time_limit_the_job_is_cancelled_and_the_item_fails_at_once(served: Project, server: Server) -> None:
    served.write_tests(Slow={"config": {"sleep": 60}, "time_limit": 2})
    begun = time.monotonic()
    result = served.run()
    assert time.monotonic() - begun < 20
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "time limit: the job did not end within the time_limit of 2 s; its last state was STARTED, *% done",
            "job * was cancelled",
        ]
    )
    assert server.left_over() == []
    assert server.training_processes() == []


def test_cases_of_an_environment_train_at_once(served: Project, server: Server) -> None:
    served.write_tests(**{f"Case{number}": {"config": {"sleep": 3}} for number in range(6)})
    begun = time.time()
    served.run().assert_outcomes(passed=12)
    with contextlib.closing(sqlite3.connect(server.data / "sandbox.sqlite")) as store:
        query = "select started, finished from jobs where kind = 'train' and started > ?"
        jobs = store.execute(query, (begun,)).fetchall()
    assert len(jobs) == 6
    in_all = sum(finished - started for started, finished in jobs)
    assert max(finished for _, finished in jobs) - min(started for started, _ in jobs) < in_all / 2


def test_max_parallel_bounds_how_many_train_at_once(served: Project, server: Server) -> None:
    entry: dict[str, object] = {"host": server.url, "path": "acme/ci/fs/Drive/tests", "token": "${DOGFOOD_TOKEN}"}
    served.write_environments(dogfood=entry | {"max_parallel": 1})
    served.write_tests(**{f"Case{number}": {"config": {"sleep": 2}} for number in range(3)})
    begun = time.monotonic()
    result = served.run("-m", "training", "-o", "ibmodels_progress_interval=0.5")
    result.assert_outcomes(passed=3, deselected=3)
    result.stdout.fnmatch_lines(["  Case0 on dogfood: training, *, 2 more to train"])
    assert time.monotonic() - begun >= 6  # at once they would sleep for 2 s


def test_progress_is_shown_with_captured_output(served: Project) -> None:
    served.write_tests(Slow={"config": {"sleep": 4}})
    result = served.run("-m", "training", "-o", "ibmodels_progress_interval=1")
    lines = [
        line for line in result.outlines if line.startswith("  Slow on dogfood: training, loss 0.2500, f1 Name 0.")
    ]
    assert len(lines) >= 2
    assert all(line.endswith(" s") for line in lines)
    assert "%" in lines[-1]
    result.stdout.fnmatch_lines([".*[[]100%[]]"])
    result.assert_outcomes(passed=1, deselected=1)


def test_inference_alone_trains_first_and_says_so(served: Project) -> None:
    served.write_tests(Alone={"config": {"sleep": 3}})
    result = served.run("-m", "inference")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["  Alone on dogfood: training (inference needs its model), *"])


def test_inference_alone_fails_if_its_training_does(served: Project) -> None:
    served.write_tests(Boom={"config": {"raise": "boom"}})
    result = served.run("-m", "inference")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["training failed: RuntimeError: boom"])


def test_training_alone_runs_no_inference(served: Project) -> None:
    served.write_tests(Broken={"config": {"corrupt": "crash"}})
    served.run("-m", "training").assert_outcomes(passed=1, deselected=1)


def test_exitfirst_cancels_the_rest_and_leaves_nothing(served: Project, server: Server) -> None:
    served.write_tests(Boom={"config": {"raise": "boom"}}, Slow={"config": {"sleep": 60}})
    begun = time.monotonic()
    result = served.run("-x")
    assert time.monotonic() - begun < 20
    result.assert_outcomes(failed=1)
    assert server.left_over() == []
    assert server.training_processes() == []


def test_exitfirst_stops_the_trainings_of_other_workers_and_starts_no_more(served: Project, server: Server) -> None:
    entry: dict[str, object] = {"host": server.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}"}
    served.write_environments(one=entry | {"max_parallel": 1}, two=entry)
    served.write_tests(
        Boom={"env": "one", "config": {"raise": "boom", "sleep": 4}},
        Never={"env": "one"},
        Slow={"env": "two", "config": {"sleep": 200}, "time_limit": 300},
    )
    before = server.jobs("train")
    result = served.run("-x", "-n", "2", "-rs", timeout=100)
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1[]] model_tests.yaml:*: the session stops: --maxfail is reached"])
    assert server.jobs("train") - before == 2
    assert server.left_over() == []
    assert server.training_processes() == []


def test_a_package_that_cannot_be_built_is_one_sentence(served: Project) -> None:
    (served.pytester.path / "tiny" / "package.json").unlink()
    served.write_tests(Any={})
    result = served.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["config: *tiny/package.json: no such file; it contains the name and version of the package"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_dead_host_and_a_wrong_token_are_environment_unavailable(served: Project, server: Server) -> None:
    served.write_environments(
        dogfood={"host": "http://127.0.0.1:9", "path": "a/b/fs/D/x", "token": "x"},
        staging={"host": server.url, "path": "a/b/fs/D/x", "token": "literal-token"},
    )
    served.write_tests(Dead={"env": ["dogfood", "staging"]})
    result = served.run("-o", "ibmodels_startup_limit=1", "--junitxml=junit.xml")
    result.assert_outcomes(failed=2, skipped=2, warnings=3)
    written = (served.pytester.path / "junit.xml").read_text()
    for host in ("http://127.0.0.1:9", server.url):  # also where nobody answered
        assert written.count(f'<property name="host" value="{host}" />') == 2
    result.stdout.fnmatch_lines(
        [
            (
                "environment unavailable: no answer from http://127.0.0.1:9: *; tried for 1 s: check `host` "
                "(environments.yaml:1), and whether the network, a VPN or a proxy leads there"
            ),
            f"environment unavailable: GET drives/a/b/fs: {server.url} refused the token (HTTP 401): check `token`*",
            "  <environments.yaml>:4: EnvironmentWarning: environment `dogfood` has its token in the file; write *",
            "  <environments.yaml>:4: EnvironmentWarning: environment `dogfood`: the token has fewer than 4 *",
        ]
    )
    assert "literal-token" not in result.stdout.str() + result.stderr.str()


def test_entries_of_the_same_name_in_two_files_are_two_runs(served: Project, server: Server) -> None:
    served.write_tests(Same={"config": {"results": {"f1": {"Name": 0.2}}}, "metrics": {"f1": {"Name": 0.1}}})
    (served.pytester.path / "more").mkdir()
    (served.pytester.path / "model_tests.yaml").rename(served.pytester.path / "more" / "model_tests.yaml")
    served.write_tests(Same={"metrics": {"f1": {"Name": 0.9}}})
    result = served.run()
    result.assert_outcomes(passed=4)
    assert server.left_over() == []


def test_a_skipped_case_is_not_trained(served: Project, server: Server) -> None:
    served.write_tests(Skipped={"config": {"sleep": 60}}, Good={})
    served.pytester.makeconftest(
        """
        import pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                if "Skipped" in item.nodeid:
                    item.add_marker(pytest.mark.skip(reason="not today"))
        """
    )
    begun = time.monotonic()
    served.run().assert_outcomes(passed=2, skipped=2)
    assert time.monotonic() - begun < 30


def test_junit_holds_the_table_and_no_traceback(served: Project, tmp_path: Path) -> None:
    served.write_tests(High={"metrics": {"f1": {"Name": 1.01}}})
    served.run(f"--junitxml={tmp_path / 'junit.xml'}")
    text = (tmp_path / "junit.xml").read_text()
    assert "too low by 0.0100" in text
    assert "Traceback" not in text
    assert 'classname="model_tests.yaml.High.dogfood" name="test_training"' in text


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGINT] * 2, [signal.SIGTERM]])
def test_ctrl_c_cancels_cleans_up_and_ends_within_five_seconds(
    served: Project, server: Server, signals: list[signal.Signals]
) -> None:
    served.write_tests(Slow={"config": {"sleep": 120}, "time_limit": 300}, Other={"config": {"sleep": 120}})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "ibmodels_progress_interval=0.5"]
    with subprocess.Popen(
        command, cwd=served.pytester.path, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "%" in line and "Slow on dogfood" in line:
                break
        assert len(server.training_processes()) == 2
        begun = time.monotonic()
        for number in signals:
            process.send_signal(number)
            time.sleep(0.05)
        rest = process.stdout.read()
        code = process.wait(30)
    assert time.monotonic() - begun < 5
    if len(signals) == 1:  # the second one may end pytest while it still writes its report
        assert code == pytest.ExitCode.INTERRUPTED
        assert "KeyboardInterrupt" in rest
    assert server.left_over() == []
    assert server.training_processes() == []


def test_two_environments_on_two_workers_push_once_each(project: Project, server: Server) -> None:
    mounts = {PROJECT.rpartition("/")[0]: str(server.data.parent / "project")}
    project.write_environments(one={"host": "sandbox", "mounts": mounts}, two={"host": "sandbox", "mounts": mounts})
    project.write_tests(First={"env": ["one", "two"], "config": {"sleep": 2}}, Second={"env": ["one", "two"]})
    result = project.run("-n", "2", "-v", "-o", "ibmodels_progress_interval=0.5")
    result.assert_outcomes(passed=8)
    workers = {
        name: {line.split("]")[0] for line in result.outlines if f"::{name}::" in line and "PASSED" in line}
        for name in ("one", "two")
    }
    assert [len(names) for names in workers.values()] == [1, 1]
    assert workers["one"] != workers["two"]
    result.stdout.fnmatch_lines(
        ["  First on one: training, * 1 more to train", "*= model tests =*", "First on *: trained in *"]
    )


def test_the_embedded_sandbox_works_where_the_folder_of_temporary_files_has_a_long_name(
    project: Project, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("t" * 150)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    mounts = {PROJECT.rpartition("/")[0]: str(server.data.parent / "project")}
    project.write_environments(one={"host": "sandbox", "mounts": mounts, "max_parallel": 2})
    project.write_tests(Good={"env": "one", "config": {"tell": str(tmp_path / "told")}})
    project.run().assert_outcomes(passed=2)
    assert f"'OMP_NUM_THREADS': '{max(1, (os.cpu_count() or 1) // 2)}'" in (tmp_path / "told").read_text()


def test_an_interrupted_pytest_takes_its_embedded_sandbox_along(project: Project, server: Server) -> None:
    mounts = {PROJECT.rpartition("/")[0]: str(server.data.parent / "project")}
    data = project.pytester.path / "data"
    project.write_environments(one={"host": "sandbox", "mounts": mounts, "data": str(data)})
    project.write_tests(Slow={"env": "one", "config": {"sleep": 60}})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "ibmodels_progress_interval=0.5"]
    address = ""
    with subprocess.Popen(
        [*command, "--sandbox-portal"],
        cwd=project.pytester.path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"portal of the sandbox one, until the run ends: (\S+) ", line)
            address = found[1] if found else address
            if "%" in line:
                break
        url, _, code = address.partition("/portal/sign-in?code=")
        with Person(url) as person:
            assert person.sign_in(code).status_code == 303
            assert "running" in person.get("/portal/jobs").text
        process.kill()
    deadline = time.monotonic() + 10
    while (alive := processes_naming(str(data))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive == []


def processes_naming(text: str) -> list[list[str]]:
    import psutil

    return [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(text in part for part in process.info["cmdline"] or [])
    ]
