"""Pages of jobs, of a real sandbox with real trainings, as a browser without JavaScript gets them."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from pytest_ibmodels.sandbox.http.tokens import ONLY, Tokens
from pytest_ibmodels.sandbox.portal import job_log
from pytest_ibmodels.sandbox.portal.app import create_portal
from pytest_ibmodels.sandbox.services.tenant import Tenants
from pytest_ibmodels.sandbox.settings import Settings
from tests.databases import empty_database
from tests.portal.client import Person, hidden_fields, text_of
from tests.portal.conftest import close_tenants
from tests.sandbox.running import soon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.portal.conftest import Portal


@pytest.fixture(scope="module")
def learned(portal: Portal) -> str:
    """The id of a training that has ended well."""
    database = "postgresql://me:hunter2@db.test/x?password=hunter3"
    arguments: dict[str, Any] = {
        "model_name": "Invoices",
        "hub_token": "hunter4",
        "max_tokens": 5,
        "nested": [{"url": database}],
    }
    job_id = portal.train_shown(steps=40, pause=0, database=database, **arguments)
    assert portal.wait(job_id)["status"] == "OK"
    return job_id


@pytest.fixture(scope="module")
def hostile(portal: Portal) -> str:
    """The id of a training that reports, prints and raises hostile texts."""
    job_id = portal.train_shown("hostile", model_name="<b>\u202e\"'")
    assert portal.wait(job_id)["status"] == "ERROR"
    return job_id


def events(person: Person, job_id: str, last: int | None = None, begin: int = 0) -> Iterator[tuple[str, int, Any]]:
    """The events of a log's stream: name, offset and data."""
    headers = {"Accept": "text/event-stream", **({} if last is None else {"Last-Event-ID": f"1:{last}"})}
    with person.http.stream("GET", f"/portal/jobs/{job_id}/log/stream?from=1:{begin}", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.read()
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "event" in fields:
                yield fields["event"], int(fields["id"].removeprefix("1:")), json.loads(fields["data"])
                fields = {}


def test_the_list_shows_jobs_newest_first(person: Person, learned: str, hostile: str) -> None:
    html = person.get("/portal/jobs").text
    assert html.index(f"job-{hostile}") < html.index(f"job-{learned}")
    page = text_of(person.get("/portal/jobs?state=failed"))
    assert (hostile[:8] in page, learned[:8] in page) == (True, False)
    assert "No job matches this filter" in text_of(person.get("/portal/jobs?state=queued"))
    assert "No job matches" not in text_of(person.get("/portal/jobs?state=nonsense"))


def test_a_page_asks_once_for_all_places_in_the_queue(tmp_path: Path, postgresql: str) -> None:
    tokens = Tokens({ONLY: "token-of-ada"})
    tenants = Tenants(Settings(tmp_path / "data", database=empty_database(postgresql)), tokens.names)
    store = tenants.get(ONLY).store
    statements: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    person = TestClient(
        create_portal(tenants, tokens), "http://sandbox.test", headers={"Origin": "http://sandbox.test"}
    )
    person.post("/portal/sign-in", data={"secret": "token-of-ada"})
    counts = []
    for waiting in (1, 60):
        while store.count_waiting() < waiting:
            store.new_job("train")
        statements.clear()
        page = person.get("/portal/jobs").text
        counts.append(len(statements))
    assert re.findall(r'"Queue" class="number">(\d+)<', page) == [str(place) for place in range(60, 10, -1)]
    assert counts[0] == counts[1] < 10, statements
    close_tenants(tenants)


def test_a_part_that_has_not_changed_is_not_sent_again(person: Person, learned: str) -> None:
    html = person.get("/portal/jobs?state=done").text
    seen = re.search(r'"X-Seen": "(\w+)"', html)
    url = re.search(r'hx-get="([^"]+)"', html)
    assert seen is not None
    assert url is not None
    again = person.get(url[1], HX_Request="true", X_Seen=seen[1])
    assert (again.status_code, again.text) == (204, "")
    other = person.get(url[1], HX_Request="true", X_Seen="other")
    assert other.text.lstrip().startswith('<div id="live"')


def test_a_job_shows_what_it_reported(person: Person, learned: str) -> None:
    page = person.get(f"/portal/jobs/{learned}")
    text = text_of(page)
    for shown in (
        "done",
        "Step 39 of 40",
        "Invoices",
        "f1 Name 0.78 0.7 to 0.8",
        "accuracy all 0.8667",
        '{ "rows": 40 }',
    ):
        assert shown in text
    assert page.text.count("<svg") == 3
    assert 'aria-label="loss by step: loss from 2 to 0.05"' in page.text
    assert "step 39" in text
    assert "hx-trigger" not in page.text  # it is over
    assert "data-stream" not in page.text


def test_the_arguments_of_a_job_have_no_secrets(portal: Portal, person: Person, learned: str) -> None:
    text = text_of(person.get(f"/portal/jobs/{learned}"))
    assert "shown.training.learn" in text
    assert '"max_tokens": 5' in text
    assert "postgresql://me:***@db.test/x" in text
    assert '"hub_token": "***"' in text
    assert "hunter" not in text
    written = [file for file in portal.data.rglob("*") if file.is_file()]
    assert [file.name for file in written if b"hunter" in file.read_bytes()] == []


def test_hostile_texts_are_texts(person: Person, hostile: str) -> None:
    for path in ("", "/log", "/log?at=error", "/cancel"):
        page = person.get(f"/portal/jobs/{hostile}{path}")
        assert page.status_code == 200
        assert re.findall(r"<(?:script(?! src=\"/portal/static)|img)", page.text) == []
        assert len(page.text) < 150_000
    text = text_of(person.get(f"/portal/jobs/{hostile}"))
    assert "&lt;" not in text
    assert "<script>document.title" in text
    assert "the pushed code failed: ValueError" in text


def test_a_log_is_read_in_parts(person: Person, learned: str) -> None:
    error = person.get(f"/portal/jobs/{learned}/log?at=error")
    assert 'class="line error first" id="first-error">ERROR: row 17 has no label' in error.text
    assert "step 0" in text_of(error)
    end = text_of(person.get(f"/portal/jobs/{learned}/log?from=200"))
    assert ("step 39" in end, "step 0 " in end, "Earlier" in end) == (True, False, True)
    for odd in ("from=-1", "from=x", "from=99999999", "from=1e3", "at=x"):
        assert person.get(f"/portal/jobs/{learned}/log?{odd}").status_code == 200
    file = person.get(f"/portal/jobs/{learned}/log.txt")
    assert file.headers["content-type"] == "text/plain; charset=utf-8"
    assert file.headers["content-disposition"] == f'attachment; filename="{learned}.log"'
    assert file.text.startswith("step 0\n")


def test_a_log_is_followed_and_goes_on_where_it_was(portal: Portal, person: Person, tmp_path: Path) -> None:
    job_id = portal.train_shown(steps=1, until=str(tmp_path / "go"))
    texts: list[str] = []
    offset = 0
    for _ in range(3):  # the connection breaks
        name, offset, data = next(events(person, job_id, offset))
        assert name == "lines"
        texts += [text for text, _level in data]
    assert "data-stream" in person.get(f"/portal/jobs/{job_id}").text
    (tmp_path / "go").touch()
    *others, (name, end, _) = events(person, job_id, offset)
    texts += [text for _, _, data in others for text, _level in data]
    assert name == "end"
    assert end == (portal.data / "jobs" / job_id / "log.txt").stat().st_size
    assert texts == ["step 0", *(f"line {number}" for number in range(len(texts) - 1))]


def test_a_stream_ends_with_the_server_and_with_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(job_log, "_SESSION_SECONDS", 0.05)
    tokens = Tokens({ONLY: "token-of-ada"})
    tenants = Tenants(Settings(tmp_path / "data"), tokens.names)
    store = tenants.get(ONLY).store
    job_id, _is_new = store.new_job("train")
    store.claim(job_id, store.owner)
    store.confirm(job_id, 1, store.owner, None)
    stopping: list[bool] = []
    app = create_portal(tenants, tokens, lambda: bool(stopping))
    person = TestClient(app, "http://sandbox.test", follow_redirects=False, headers={"Origin": "http://sandbox.test"})
    path = f"/portal/jobs/{job_id}/log/stream"
    headers = {"Accept": "text/event-stream"}
    person.post("/portal/sign-in", data={"secret": "token-of-ada"})
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(person.get, path, headers=headers)
        assert not wait([answer], 0.3).done
        stopping.append(True)
        assert "event:" not in answer.result(5).text
        stopping.clear()
        answer = pool.submit(person.get, path, headers=headers)
        assert not wait([answer], 0.3).done
        app.state.portal.sessions._tables[ONLY].end_sessions_created_before(float("inf"))
        assert "event: signed-out" in answer.result(5).text
    close_tenants(tenants)


def test_a_reader_who_is_far_behind_gets_the_end(portal: Portal, person: Person) -> None:
    job_id = portal.train_shown(steps=1, pause=0)
    portal.wait(job_id)
    log = portal.data / "jobs" / job_id / "log.txt"
    with log.open("wb") as file:
        file.truncate(256 * 2**20)
        file.seek(0, 2)
        file.write(b"\n" + b"".join(b"row %d\n" % number for number in range(100_000)) + b"CRITICAL: full\nlast")
    (skipped, begin, data), *others = events(person, job_id)
    assert (skipped, data) == ("skipped", {"bytes": begin})
    assert sum(len(data) for name, _, data in others if name == "lines") <= 1000
    assert [name for name, *_ in others][-1] == "end"
    page = person.get(f"/portal/jobs/{job_id}/log?at=error")
    assert "CRITICAL: full" in text_of(page)
    assert len(person.get(f"/portal/jobs/{job_id}").text) < 150_000


def test_a_job_is_cancelled_once(portal: Portal, person: Person) -> None:
    job_id = portal.train_shown(steps=1, until="never")
    soon(lambda: "STARTED" in portal.status(job_id)["cur_status"])
    page = f"/portal/jobs/{job_id}/cancel"
    assert "This cannot be undone" in text_of(person.get(page))
    assert portal.status(job_id)["state"] == "PENDING"
    fields = hidden_fields(person.get(page).text, page)
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: person.post(page, fields), range(3)))
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {
        (303, f"/portal/jobs/{job_id}?done={fields['form_id']}")
    }
    assert "The job is cancelled." in text_of(person.get(answers[0].headers["location"]))
    assert "The job is cancelled." not in text_of(person.get(f"/portal/jobs/{job_id}?done=other"))
    assert "There is nothing to cancel" in text_of(person.get(page))
    late = person.post(page, {**fields, "form_id": "another-form-of-it"})
    assert (late.status_code, "has ended already" in late.text) == (409, True)
    audit = portal.audit()
    assert [entry for entry in audit if entry[1] == f"job {job_id}"] == [
        ("the only token (portal)", f"job {job_id}", "cancel", "running", "cancelled")
    ]


def test_the_api_writes_the_audit_too(portal: Portal) -> None:
    job_id = portal.train_shown(steps=1, until="never")
    assert portal.api("jobs/cancel", {"job_id": job_id})["status"] == "OK"
    assert ("the only token (API)", f"job {job_id}", "cancel") in [entry[:3] for entry in portal.audit()]


def test_an_announced_code_signs_in_once(portal: Portal) -> None:
    address = portal.announced["portal"]
    with Person(portal.url) as someone:
        form = someone.get(address)
        code = re.search(r'value="([^"]+)"', form.text[form.text.index('id="secret"') :])
        assert code is not None
        assert someone.get(address).status_code == 200  # looking at the page uses nothing up
        assert someone.sign_in(code[1]).status_code == 303
        assert "Jobs" in someone.get("/portal/jobs").text
        assert someone.sign_in(code[1]).status_code == 401
    log = (portal.data / "server.log").read_text() + portal.stderr.read_text()
    assert code[1] not in log
    assert "made-up-token" not in log
