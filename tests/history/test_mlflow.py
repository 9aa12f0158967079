"""Runs in MLflow as docs/mlflow.md promises them, read by its own client; and what a session shows without them."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pytest_ibmodels.history import mlflow_sink
from pytest_ibmodels.history.mlflow_runs import LONGEST_NAME, LONGEST_VALUE, mlflow_run
from pytest_ibmodels.history.runs import StoredMetric, StoredRun
from tests.plugin.conftest import TOKEN, Project, _outside_github, fork_server, project, served, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["_outside_github", "fork_server", "project", "served", "server"]

HAS_MLFLOW = importlib.util.find_spec("mlflow") is not None
try:
    HAS_ALL = bool(version("mlflow"))
except PackageNotFoundError:
    HAS_ALL = False
needs_mlflow = pytest.mark.skipif(not HAS_MLFLOW, reason="MLflow is not installed: pip install mlflow-skinny")
needs_all = pytest.mark.skipif(not HAS_ALL, reason="all of MLflow is not installed: pip install mlflow")

PASSWORD = "hunter2-of-the-tracking-server"
RESULTS = {"f1": {"Name": 0.9, "Total €": 0.5, "Total $": 0.25}}
READER = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
found = []
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]):
        data, info = run.data, run.info
        found.append({
            "experiment": experiment.name, "name": info.run_name, "status": info.status, "params": data.params,
            "metrics": data.metrics, "tags": data.tags, "seconds": (info.end_time - info.start_time) / 1000,
            "steps": {key: [[point.step, point.value] for point in client.get_metric_history(info.run_id, key)]
                      for key in data.metrics},
            "record": json.load(open(client.download_artifacts(info.run_id, "run.json"))),
        })
print(json.dumps(found))
"""


@pytest.fixture(autouse=True)
def _no_mlflow_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("IBMODELS_HISTORY", "none")


def write_test(project: Project, **config: object) -> None:
    config = {"results": RESULTS, "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "seed": 7, **config}
    project.write_tests(Receipts={"config": config, "metrics": {"f1": {"Name": 0.8}}})


def stored(uri: str, folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-P", "-c", READER, uri],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def lines_of(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("mlflow:")]


def check_passed_run(run: dict[str, Any], project: Project) -> None:
    assert (run["name"], run["status"]) == ("Receipts on dogfood", "FINISHED")
    params = run["params"]
    assert (params["config.optimizer.lr"], params["config.optimizer.betas"]) == ("0.1", "[0.9, 0.99]")
    assert params["config.seed"] == "7"
    final = {"f1/Name": 0.9, "f1/Total _": 0.5, "f1/Total __2": 0.25}
    assert {key: value for key, value in run["metrics"].items() if not key.startswith("training/")} == final
    assert run["steps"]["training/loss"] == [[10, 0.5], [20, 0.25]]
    assert run["steps"]["training/f1/Name"] == [[10, 0.9], [20, 0.9]]
    tags = run["tags"]
    assert (tags["test"], tags["environment"], tags["verdict"]) == ("Receipts", "dogfood", "passed")
    assert (tags["package"], len(tags["content_hash"]), len(tags["config_hash"])) == ("tiny", 64, 64)
    assert tags["version"]
    assert run["record"]["nodeid"] == "model_tests.yaml::Receipts::dogfood"
    assert run["record"]["config"]["seed"] == 7
    assert TOKEN not in json.dumps(run)
    assert run["seconds"] >= 0


@needs_mlflow
@pytest.mark.parametrize("options", [(), ("-n1",)], ids=["one process", "workers"])
def test_every_run_becomes_a_run_of_mlflow(
    served: Project, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:./runs")
    write_test(served)
    result = served.run(*options)
    result.assert_outcomes(passed=2)
    assert lines_of(result) == []
    (run,) = stored("file:./runs", served.pytester.path)
    assert run["experiment"] == served.pytester.path.name
    check_passed_run(run, served)


@needs_mlflow
def test_the_setting_comes_first_and_failed_runs_are_stored_too(
    served: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("WHERE", "runs")
    settings = ("-o", "ibmodels_mlflow=file:./${WHERE}", "-o", "ibmodels_mlflow_experiment=Nightly")
    write_test(served, results={"f1": {"Name": 0.5}})
    assert served.run(*settings).ret == 1
    write_test(served, **{"raise": "out of memory"})
    assert served.run(*settings).ret == 1
    low, broken = stored("file:./runs", served.pytester.path)
    assert {low["experiment"], broken["experiment"]} == {"Nightly"}
    assert (low["status"], low["tags"]["verdict"], low["metrics"]["f1/Name"]) == ("FAILED", "failed", 0.5)
    assert (broken["status"], broken["metrics"]) == ("FAILED", {})
    assert "out of memory" in broken["record"]["training"]["failure"]["text"]


@needs_all
def test_a_sqlite_store_is_created(served: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    write_test(served)
    result = served.run()
    assert (lines_of(result), result.ret) == ([], 0)
    (run,) = stored("sqlite:///runs.db", served.pytester.path)
    check_passed_run(run, served)


@needs_all
def test_a_tracking_server_stores_runs(served: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking_server(tmp_path) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        write_test(served)
        for _ in range(2):
            result = served.run()
            assert (lines_of(result), result.ret) == ([], 0)
        runs = stored(url, served.pytester.path)
        assert len(runs) == 2
        for run in runs:
            check_passed_run(run, served)


@contextlib.contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                    break
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < end, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def basic(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


class Refusing(BaseHTTPRequestHandler):
    """Answers as a server that repeats what it was sent."""

    def do_GET(self) -> None:
        text = f"no access: {self.headers['Authorization']} {PASSWORD}".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def fault(kind: str) -> Iterator[int]:
    """Yield a port behind which nothing, a silent server, or a refusing one is."""
    if kind == "down":
        yield 1
    elif kind == "silent":
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield silent.getsockname()[1]
    else:
        with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as refusing:
            threading.Thread(target=refusing.serve_forever, daemon=True).start()
            yield refusing.server_port
            refusing.shutdown()


@needs_mlflow
@pytest.mark.parametrize(("kind", "f1", "code"), [("down", 0.9, 0), ("silent", 0.5, 1), ("refusing", 0.9, 0)])
def test_a_server_that_takes_nothing_costs_one_line(
    served: Project, kind: str, f1: float, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{PASSWORD}-too")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    write_test(served, results={"f1": {"Name": f1}})
    with fault(kind) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{PASSWORD}@127.0.0.1:{port}")
        begun = time.monotonic()
        result = served.run()
    assert result.ret == code
    (line,) = lines_of(result)
    assert line.startswith("mlflow: this session's runs are not stored: ")
    shown = result.stdout.str() + result.stderr.str()
    for secret in (PASSWORD, *(basic(name, f"{PASSWORD}{end}") for name, end in (("me", ""), ("", "-too")))):
        assert secret not in shown
    assert time.monotonic() - begun < 30  # with the run, and two processes that import


@needs_mlflow
def test_a_server_that_is_too_slow_is_left(served: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mlflow_sink, "SERVER_SECONDS", 1.0)
    (tmp_path / "mlflow.py").write_text("raise RuntimeError('a file of the project must not be imported')\n")
    with fault("silent") as port:
        begun = time.monotonic()
        target = mlflow_sink.Target(f"http://127.0.0.1:{port}", tmp_path, "Nightly")
        sentence = mlflow_sink.send([mlflow_run(a_run(), a_record())], target, os.environ)
    assert sentence == "this session's runs are not stored: MLflow did not take them within 1 seconds"
    assert time.monotonic() - begun < 25


def test_without_mlflow_one_line_says_what_to_install(served: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (served.pytester.path / "conftest.py").write_text("import sys\nsys.modules['mlflow'] = None\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    write_test(served)
    result = served.run()
    result.assert_outcomes(passed=2)
    (line,) = lines_of(result)
    assert line == (
        "mlflow: this session's runs are not stored: mlflow is not installed: pip install 'pytest-ibmodels[mlflow]', "
        "or set ibmodels_mlflow = none"
    )
    assert lines_of(served.run("-o", "ibmodels_mlflow=none")) == []


def test_a_missing_variable_of_the_setting_is_named(served: Project) -> None:
    if not HAS_MLFLOW:
        pytest.skip("without MLflow, the line says that it is missing")
    write_test(served)
    result = served.run("-o", "ibmodels_mlflow=http://${NO_SUCH_HOST}")
    result.assert_outcomes(passed=2)
    (line,) = lines_of(result)
    assert line.endswith("ibmodels_mlflow needs the variable NO_SUCH_HOST, which is not set: set it")


@pytest.mark.parametrize("options", [(), ("-o", "ibmodels_mlflow=none")], ids=["by default", "by the setting"])
def test_nothing_is_imported_where_it_is_not_set(
    served: Project, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if options:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    (served.pytester.path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_unconfigure(config):\n"
        "    found = [name for name in sys.modules if name.startswith(('mlflow', 'pytest_ibmodels.history.mlflow'))]\n"
        "    print('imported:', found, config.pluginmanager.has_plugin('ibmodels-mlflow'))\n"
    )
    write_test(served)
    # A process of its own, as the one that is forked for other runs has imported everything.
    result = served.pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=2)
    assert "imported: [] False" in result.outlines


# --- names and lengths ---


def a_run(*metrics: StoredMetric, **values: Any) -> StoredRun:
    known = {"id": "0" * 32, "project": "acme", "test": "Receipts", "environment": "dogfood", "verdict": "passed"}
    return StoredRun(**{**known, "started": datetime(2026, 1, 2, tzinfo=UTC), "metrics": metrics, **values})


def a_record(*points: dict[str, Any], **config: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"step": None, "loss": None, "learning_rate": None, "metrics": {}}
    history = [{**empty, **point} for point in points]
    return {"finished": "2026-01-02T00:01:00Z", "config": config, "training": {"history": history}}


def test_names_that_mlflow_refuses_are_replaced_and_stay_different() -> None:
    fields = ("Name", "a/b", "a:b", "..", ".", "", "Größe", "x" * 300, "x" * 301, "line\nbreak")
    made = mlflow_run(a_run(*(StoredMetric("f1", field, 0.5) for field in fields)), a_record())
    keys = [key for key, _, _ in made.metrics]
    assert keys[:7] == ["f1/Name", "f1/a_b", "f1/a_b_2", "f1/_", "f1/__2", "f1/__3", "f1/Größe"]
    assert keys[-1] == "f1/line_break"
    assert len(set(keys)) == len(fields)
    assert max(map(len, keys)) <= LONGEST_NAME


def test_values_are_cut_and_objects_are_flattened() -> None:
    config = {"text": "y" * 7000, "empty": {}, "none": None, "a": {"b": {"c": True}}, "a.b": {"c": "clash"}}
    params = mlflow_run(a_run(), a_record(**config)).params
    assert len(params["config.text"]) == LONGEST_VALUE
    assert (params["config.empty"], params["config.none"]) == ("{}", "null")
    assert (params["config.a.b.c"], params["config.a.b.c_2"]) == ("true", "clash")


def test_undefined_values_and_empty_tags_are_left_out() -> None:
    made = mlflow_run(a_run(StoredMetric("f1", "Name", None), commit="abc", verdict="error"), a_record())
    assert made.metrics == []
    assert made.status == "FAILED"
    assert made.tags["commit"] == made.tags["mlflow.source.git.commit"] == "abc"
    assert "fingerprint" not in made.tags
    assert made.finished - made.started == 60_000


def test_curves_without_steps_are_numbered() -> None:
    points = ({"loss": 0.5, "step": 3.0}, {"loss": 0.4, "metrics": {"f1": {"Name": 0.7}}})
    metrics = mlflow_run(a_run(), a_record(*points)).metrics
    assert metrics == [("training/loss", 0.5, 0), ("training/loss", 0.4, 1), ("training/f1/Name", 0.7, 1)]


@pytest.mark.parametrize(
    ("uri", "is_server"),
    [
        ("file:./runs", False),
        ("./runs", False),
        ("/srv/runs", False),
        ("sqlite:///runs.db", False),
        ("https://mlflow.example.org", True),
        ("databricks", True),
        ("postgresql://db/mlflow", True),
    ],
)
def test_what_has_to_answer_is_known_by_its_uri(tmp_path: Path, uri: str, is_server: bool) -> None:
    assert mlflow_sink.Target(uri, tmp_path, "x").is_server is is_server


def test_what_was_stored_when_time_ran_out_is_counted() -> None:
    printed = b'{"outcome": "stored", "reason": ""}\n{"outcome": "incomplete", "reason": "full"}\n{"outcome": "sto'
    answers = mlflow_sink._answers(printed)
    assert len(answers) == 2
    assert mlflow_sink._sentence(answers, 3, "late") == "1 of this session's 3 runs are not stored: late"
    assert mlflow_sink._sentence(answers, 2, "late") == "1 of this session's 2 runs are stored in part: full"
    assert mlflow_sink._sentence(answers[:1], 1, "late") == ""
