"""The token is nowhere: it is planted wherever a bug could print it, and everything that is written is searched."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tests.faults.proxy import Fault, FaultProxy
from tests.plugin.conftest import ROOT
from tests.plugin.hundreds import sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.proxy import _Request
    from tests.plugin.conftest import Project

TOKEN = "tok'N/+\"\\<&>%41=secret-of-the-tests"
"""With all that a URL, JSON, HTML, XML and Python write in another way."""

_CONFTEST = """
import logging, os
import pytest

def pytest_collection_modifyitems(items):
    token = os.environ["DOGFOOD_TOKEN"]
    for item in items:
        if "::Skipped::" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason=f"not with {token}"))
        if "::Expected::" in item.nodeid:
            item.add_marker(pytest.mark.xfail(reason=f"known of {token}"))

def pytest_ibmodels_run_started(config, run):
    token = os.environ["DOGFOOD_TOKEN"]
    variables = os.environ
    if run.test.name == "Hook":
        raise RuntimeError(f"no answer with {token}")

def pytest_ibmodels_run_finished(config, run):
    token = os.environ["DOGFOOD_TOKEN"]
    print("printed", token)
    logging.getLogger("of the project").debug("logged %s", {"Authorization": f"Bearer {token}"})
"""


_PLAIN = """
import logging, os, warnings
import pytest

TOKEN = os.environ["DOGFOOD_TOKEN"]

def test_logs():
    handler = logging.FileHandler("handler.txt")
    logger = logging.getLogger("of a later handler")
    logger.addHandler(handler)
    logger.warning("later %s", TOKEN)
    try:
        raise ValueError(f"raised with {TOKEN}")
    except ValueError:
        logger.exception("caught")
    logger.removeHandler(handler)
    handler.close()

def test_warns():
    warnings.warn(f"warned with {TOKEN}")

def test_skips():
    pytest.skip(f"skipped for {TOKEN}")

@pytest.mark.xfail(reason=f"not yet {TOKEN}")
def test_passes_all_the_same():
    pass

@pytest.mark.xfail(reason=f"strict {TOKEN}", strict=True)
def test_passes_strictly():
    pass
"""


class Tattler(FaultProxy):
    """A gateway that puts the token into everything that passes."""

    def __init__(self, url: str) -> None:
        super().__init__(url, self._choose)
        self._tests: dict[str, str] = {}
        """Model test by job id."""

    def _choose(self, what: str) -> Fault | None:
        return Fault("echo", status=503, body=f"<p>busy: {TOKEN}</p>") if self.count(what) == 1 else None

    async def _pass_on(self, request: _Request) -> httpx.Response:
        if request.what == "POST model-service/run_train":
            return await self._start(request)
        answer = await super()._pass_on(request)
        if request.what.startswith("GET classifier/logs"):
            return _json([{"ts": "2026-01-01T00:00:00", "level": "INFO", "log": f"the job prints {TOKEN}"}])
        if request.what == "GET jobs/status":
            test = self._tests.get(parse_qs(urlsplit(request.target).query)["job_id"][0], "")
            return _json(_tattled(test, answer.json()))
        return answer

    async def _start(self, request: _Request) -> httpx.Response:
        test = json.loads(request.body)["arguments"]["model_name"].partition("_")[0]
        if test == "Refused":
            return _json({"status": "ERROR", "msg": f"{TOKEN} has no right to this"})
        if test == "Unfit":
            return httpx.Response(400, headers={"content-type": "text/html"}, content=f"<p>{' ' * 700}{TOKEN}</p>")
        answer = await super()._pass_on(request)
        self._tests[answer.json()["job_id"]] = test
        return answer


def _tattled(test: str, status: dict[str, Any]) -> dict[str, Any]:
    ended = status["state"] == "DONE"
    if test == "Failed" and ended:
        trace = f'Traceback:\n  File "{TOKEN}"\nRuntimeError: {TOKEN}'
        failure = {"status": "ERROR", "msg": TOKEN, "error": f"no login with {TOKEN}", "strace": trace}
        return {**status, "status": "ERROR", "results": [failure]}
    if test == "Metrics" and ended:
        current = {"task_state": "DONE", "task_data": {"evaluation_results": {"f1": {"Name": TOKEN}, TOKEN: {}}}}
        return {**status, "cur_status": json.dumps(current)}
    if test == "State" and not ended:
        return {**status, "cur_status": json.dumps({"task_state": f"WAITS FOR {TOKEN}", "task_data": {}})}
    if "results_by_record" in str(status.get("results", "")):
        told = json.dumps(status["results"]).replace("Ada Lovelace", json.dumps(json.dumps(TOKEN)[1:-1])[1:-1])
        return {**status, "results": json.loads(told)}
    return status


def _json(value: object) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/json"}, content=json.dumps(value).encode())


@pytest.fixture
def searched(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What one session wrote, by where it was found."""
    options = "-vv -l -rA --log-cli-level=DEBUG --log-level=DEBUG --log-file=log.txt --junitxml=junit.xml"
    options += " -o junit_logging=all --model-report report.json --model-report report.html"
    told = tmp_path / "told"
    with sandbox(tmp_path / "sandbox", max_jobs=8, token=TOKEN) as server, Tattler(server.url) as tattler:
        moved = Fault("moved", status=302, headers=(("Location", f"https://login/?token={quote(TOKEN)}&to={TOKEN}"),))
        with FaultProxy(server.url, lambda _what: moved) as elsewhere, FaultProxy(server.url, _refused) as refusing:
            monkeypatch.setenv("DOGFOOD_TOKEN", TOKEN)
            entry = {"path": ROOT, "token": "${DOGFOOD_TOKEN}"}
            project.write_environments(
                dogfood={**entry, "host": tattler.url},
                moved={**entry, "host": elsewhere.url},
                literal={**entry, "host": refusing.url, "token": TOKEN},
            )
            project.write_tests(
                State={"config": {"sleep": 3, "tell": str(told)}},
                **{name: {} for name in ("Refused", "Unfit", "Failed", "Hook", "Skipped")},
                Expected={"metrics": {"f1": {"Name": 1.1}}},
                Metrics={"metrics": {"f1": {"Name": 0.9}, "recall": {"Name": 0.9}}},
                Moved={"env": "moved"},
                Literal={"env": "literal"},
            )
            project.pytester.makeconftest(_CONFTEST)
            project.pytester.makepyfile(test_plain=_PLAIN)
            result = project.pytester.runpytest_subprocess(*options.split(), "-o", "ibmodels_progress_interval=1")
    found = {"the terminal": result.stdout.str() + result.stderr.str(), "what the job can read": told.read_text()}
    ours = {project.pytester.path / "environments.yaml", tmp_path / "sandbox" / "token"}
    for file in [*project.pytester.path.rglob("*"), *(tmp_path / "sandbox").rglob("*")]:
        if file.is_file() and file not in ours:
            found[str(file)] = file.read_bytes().decode("utf-8", "replace")
    return found


def _refused(_what: str) -> Fault:
    return Fault("refused", status=401)


def test_the_token_is_nowhere(searched: dict[str, str]) -> None:
    for where in (
        "junit.xml",
        "report.json",
        "report.html",
        "log.txt",
        "handler.txt",
        "journal.sqlite",
        "sandbox.sqlite",
    ):
        assert any(name.endswith(where) for name in searched), where
    terminal = searched["the terminal"]
    # What was planted is there, and the token in it is not.
    for planted in (
        "*** has no right to this",
        "no login with ***",
        "the job prints ***",
        "WAITS FOR ***",
        "printed ***",
        "logged {'Authorization': 'Bearer ***'}",
        "RuntimeError: no answer with ***",
        "token      = '***'",
        "'DOGFOOD_TOKEN': '***'",
        "points to https://login/?token=***&to=***",
        "environment `literal` has its token in the file",
        "not with ***",
        "known of ***",
        "later ***",
        "ValueError: raised with ***",
        "UserWarning: warned with ***",
        "skipped for ***",
        "not yet ***",
        "[XPASS(strict)] strict ***",
    ):
        assert planted in terminal, planted
    forms = [TOKEN, quote(TOKEN), quote(TOKEN, safe=""), "secret-of-the-tests", "of-the-tests"]
    shown = {where: re.findall(f".*{re.escape(form)}.*", text) for where, text in searched.items() for form in forms}
    assert {where: lines for where, lines in shown.items() if lines} == {}
