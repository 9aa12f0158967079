"""Who is signed in, for how long, and which forms are accepted: the portal in this process, without a browser."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from pytest_ibmodels.sandbox.cli import main
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.http.app import create_app
from pytest_ibmodels.sandbox.http.tokens import Tokens
from pytest_ibmodels.sandbox.portal import gate
from pytest_ibmodels.sandbox.portal.app import create_portal
from pytest_ibmodels.sandbox.portal.forms import Done, Form, do_once
from pytest_ibmodels.sandbox.portal.gate import Gate
from pytest_ibmodels.sandbox.portal.sessions import IDLE_SECONDS, LONGEST_SECONDS, Sessions
from pytest_ibmodels.sandbox.portal.throttle import MOST_FAILURES, WINDOW_SECONDS, Throttle
from pytest_ibmodels.sandbox.settings import Settings
from tests.portal.client import hidden_fields, text_of
from tests.portal.conftest import close_tenants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

TOKENS = {"ada": "token-of-ada", "bob.2": "token-of-bob"}
URL = "http://sandbox.test:8000"
SIGN_IN = "/portal/sign-in"


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    app = create_app(Settings(tmp_path_factory.mktemp("sessions") / "data"), Tokens(TOKENS))
    yield app
    close_tenants(app.state.tenants)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(app: FastAPI, clock: Clock) -> Sessions:
    return Sessions(app.state.tenants, Tokens(TOKENS), clock)


@pytest.fixture(scope="module")
def gated(app: FastAPI) -> Gate:
    return Gate(app, portal=create_portal(app.state.tenants, Tokens(TOKENS)))


@pytest.fixture
def person(gated: Gate) -> TestClient:
    return TestClient(gated, URL, follow_redirects=False, headers={"Origin": URL})


def sign_in(person: TestClient, name: str = "ada", **fields: str) -> httpx.Response:
    return person.post(SIGN_IN, data={"secret": TOKENS[name], **fields})  # type: ignore[return-value]


def test_who_is_not_signed_in_signs_in_and_gets_to_the_page(person: TestClient) -> None:
    asked = person.get("/portal/jobs/x/log?from=10")
    assert (asked.status_code, asked.headers["location"]) == (
        303,
        f"{SIGN_IN}?next=%2Fportal%2Fjobs%2Fx%2Flog%3Ffrom%3D10",
    )
    form = person.get(asked.headers["location"])
    answer = sign_in(person, **hidden_fields(form.text, SIGN_IN))
    assert (answer.status_code, answer.headers["location"]) == (303, "/portal/jobs/x/log?from=10")
    assert "there is no job &#39;x&#39;" in person.get("/portal/jobs/x/log?from=10").text
    assert person.get("/").headers["location"] == "/portal/jobs"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.test/", "//evil.test/", "/portal/\\evil.test", "/api/v1", "/portal/a\nb"]
)
def test_signing_in_leads_to_no_other_site(person: TestClient, elsewhere: str) -> None:
    assert sign_in(person, next=elsewhere).headers["location"] == "/portal/jobs"


def test_the_cookie_is_no_token_and_no_script_reads_it(person: TestClient) -> None:
    cookie = sign_in(person).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/portal" in cookie
    assert "Secure" not in cookie
    assert TOKENS["ada"] not in cookie
    assert cookie.startswith("ibmodels_portal_8000=ada.")


def test_a_wrong_token_is_refused_with_a_sentence(person: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_ibmodels.sandbox.portal.sign_in._FAILURE_SECONDS", 0)
    for wrong in ("", "token-of-ad", "token-of-ada2", "\udcff", "x" * 100_000):
        answer = person.post(SIGN_IN, data={"secret": wrong.encode(errors="surrogateescape")})
        assert answer.status_code == 401
        assert "This is neither a token of this sandbox nor a one-time code" in answer.text
        assert "set-cookie" not in answer.headers


def test_many_wrong_tokens_of_an_address_have_to_wait(gated: Gate, person: TestClient) -> None:
    throttle = gated._portal.state.portal.throttle  # type: ignore[attr-defined]
    for _ in range(MOST_FAILURES):
        throttle.count_failure("testclient")
    answer = sign_in(person)
    assert answer.status_code == 429
    assert 295 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS + 1
    assert "try again in 5 min" in answer.text
    throttle.forgive("testclient")
    assert sign_in(person).status_code == 303


def test_failures_are_counted_per_address_and_forgotten_in_time(clock: Clock) -> None:
    throttle = Throttle(clock)
    for number in range(MOST_FAILURES):
        throttle.count_failure(f"2001:db8::{number}")
    assert throttle.wait_seconds("2001:db8::ffff") == WINDOW_SECONDS
    assert throttle.wait_seconds("2001:db8:0:1::") == throttle.wait_seconds("127.0.0.1") == 0
    clock.now += WINDOW_SECONDS
    assert throttle.wait_seconds("2001:db8::1") == 0


def test_a_session_ends_when_it_is_idle_and_after_eight_hours(sessions: Sessions, clock: Clock) -> None:
    cookie = sessions.sign_in(TOKENS["ada"]) or ""
    idle = sessions.sign_in(TOKENS["ada"]) or ""
    began = clock.now
    clock.now = began + IDLE_SECONDS - 1
    assert sessions.find(cookie, is_use=True) is not None
    assert sessions.find(idle, is_use=False) is not None
    clock.now += 2
    assert sessions.find(cookie, is_use=False) is not None
    assert sessions.find(idle, is_use=True) is None  # a page that renews itself did not keep it
    while clock.now < began + LONGEST_SECONDS - 1000:
        clock.now += 1000
        assert sessions.find(cookie, is_use=True) is not None
    clock.now = began + LONGEST_SECONDS + 1
    assert sessions.find(cookie, is_use=True) is None
    clock.now = began
    assert sessions.find(cookie, is_use=True) is None


def test_a_session_outlives_a_restart_but_not_its_token(app: FastAPI, sessions: Sessions, clock: Clock) -> None:
    tenants = app.state.tenants
    cookie = sessions.sign_in(TOKENS["bob.2"]) or ""
    restarted = Sessions(tenants, Tokens(TOKENS), clock).find(cookie, is_use=True)
    assert restarted is not None
    assert restarted.tenant is tenants.get("bob.2")
    with_other_token = Sessions(tenants, Tokens({**TOKENS, "bob.2": "a-new-one"}), clock)
    assert with_other_token.find(cookie, is_use=True) is None
    assert sessions.find(cookie, is_use=True) is None
    assert Sessions(tenants, Tokens({"ada": TOKENS["ada"]}), clock).find(cookie, is_use=True) is None


@pytest.mark.parametrize("cookie", ["", ".", "ada", "ada.", "ada.x", "eve.x", "bob.2.", "ada.\udcff", "x" * 100_000])
def test_a_made_up_cookie_is_none(sessions: Sessions, cookie: str) -> None:
    assert sessions.find(cookie, is_use=True) is None


def test_the_session_of_a_tenant_opens_no_other(sessions: Sessions) -> None:
    cookie = sessions.sign_in(TOKENS["ada"]) or ""
    assert sessions.find(cookie.replace("ada.", "bob.2."), is_use=True) is None


def test_a_one_time_code_works_once_and_for_ten_minutes(tmp_path: object, app: FastAPI, clock: Clock) -> None:
    sessions = Sessions(app.state.tenants, Tokens({"ada": TOKENS["ada"]}), clock)
    code, late = sessions.new_code(), sessions.new_code()
    cookie = sessions.sign_in(code)
    assert cookie is not None
    assert sessions.find(cookie, is_use=True) is not None
    assert sessions.sign_in(code) is None
    clock.now += 601
    assert sessions.sign_in(late) is None


def test_signing_out_ends_the_session(person: TestClient) -> None:
    sign_in(person)
    page = person.get("/portal/jobs")
    cookie = dict(person.cookies)
    answer = person.post("/portal/sign-out", data=hidden_fields(page.text, "/portal/sign-out"))
    assert (answer.status_code, answer.headers["location"]) == (303, SIGN_IN)
    person.cookies.update(cookie)
    assert person.get("/portal/jobs").status_code == 303
    assert person.get("/portal/jobs", headers={"HX-Request": "true"}).status_code == 401
    assert person.get("/portal/jobs", headers={"Accept": "text/event-stream"}).status_code == 401


@pytest.mark.parametrize("origin", ["http://evil.test:8000", "http://sandbox.test:8001", "null", ""])
def test_a_form_of_another_site_is_refused(person: TestClient, origin: str) -> None:
    assert person.post(SIGN_IN, data={"secret": TOKENS["ada"]}, headers={"Origin": origin}).status_code == 403
    sign_in(person)
    fields = hidden_fields(person.get("/portal/jobs").text, "/portal/sign-out")
    refused = person.post("/portal/sign-out", data=fields, headers={"Origin": origin})
    assert refused.status_code == 403
    assert "nothing was done" in refused.text
    assert person.get("/portal/jobs").status_code == 200


def test_a_form_of_another_session_is_refused(gated: Gate, person: TestClient) -> None:
    sign_in(person)
    fields = hidden_fields(person.get("/portal/jobs").text, "/portal/sign-out")
    other = TestClient(gated, URL, follow_redirects=False, headers={"Origin": URL})
    sign_in(other)
    for wrong in (fields, {"a": "b"}, {**fields, "csrf": "é"}):
        refused = other.post("/portal/sign-out", data=wrong)
        assert (refused.status_code, "from another session" in refused.text) == (403, True)
    assert person.post("/portal/sign-out", data={**fields, "form_id": "'"}).status_code == 403
    assert other.get("/portal/jobs").status_code == 200


def test_what_was_typed_goes_through_the_sign_in(person: TestClient) -> None:
    path = "/portal/jobs/x/cancel"
    typed = {"csrf": "old", "form_id": "old", "note": "<b>\u202e\"' &", "more": "1"}
    refused = person.post(path, data=typed)
    assert (refused.status_code, "nothing was done" in refused.text) == (401, True)
    again = sign_in(person, **hidden_fields(refused.text, SIGN_IN))
    assert again.status_code == 200
    fields = hidden_fields(again.text, path)
    assert {name: fields[name] for name in ("note", "more")} == {"note": typed["note"], "more": "1"}
    assert "<b>" not in again.text
    sent = person.post(path, data=fields)
    assert (sent.status_code, "there is no job" in text_of(sent)) == (404, True)  # type: ignore[arg-type]
    # Another site's page has no part in this.
    assert person.post(path, data=typed, headers={"Origin": "http://evil.test"}).status_code == 403


def test_a_second_press_waits_for_the_first_and_shows_its_outcome(sessions: Sessions) -> None:
    session = sessions.find(sessions.sign_in(TOKENS["ada"]) or "", is_use=True)
    assert session is not None
    form, begun, go_on, calls = Form("x" * 20, {}, {}), threading.Event(), threading.Event(), []

    def action() -> Done:
        calls.append(1)
        begun.set()
        assert go_on.wait(5)
        return Done(f"call {len(calls)}", "/portal/jobs")

    with ThreadPoolExecutor() as pool:
        first = pool.submit(do_once, session, form, action)
        assert begun.wait(5)
        second = pool.submit(do_once, session, form, action)
        go_on.set()
        assert first.result() == second.result()
    assert first.result().message == "call 1"
    assert do_once(session, form, action).message == "call 1"
    assert calls == [1]


def test_an_action_that_fails_is_not_repeated_either(sessions: Sessions) -> None:
    session = sessions.find(sessions.sign_in(TOKENS["ada"]) or "", is_use=True)
    assert session is not None
    calls = []

    def refuse() -> Done:
        calls.append(1)
        raise SandboxError("it has ended already")

    def crash() -> Done:
        calls.append(1)
        raise ZeroDivisionError

    outcomes = [do_once(session, Form("y" * 20, {}, {}), refuse) for _ in range(2)]
    assert {(outcome.succeeded, outcome.message) for outcome in outcomes} == {(False, "it has ended already")}
    with pytest.raises(ZeroDivisionError):
        do_once(session, Form("z" * 20, {}, {}), crash)
    assert do_once(session, Form("z" * 20, {}, {}), crash).message.startswith("the sandbox failed")
    assert len(calls) == 2


@pytest.mark.parametrize(
    "path", ["/", SIGN_IN, "/portal/jobs", "/portal/nowhere", "/portal/static/x/y.js", "/portal/jobs/x"]
)
def test_every_answer_is_secured(person: TestClient, path: str) -> None:
    sign_in(person)
    answer = person.get(path)
    assert answer.status_code < 500
    headers = answer.headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert (person.head(path).status_code, person.head(path).text) == (answer.status_code, "")
    assert "there is no such file" in answer.text or "<html" in answer.text or answer.status_code == 303


def test_the_api_keeps_its_own_authentication(person: TestClient) -> None:
    sign_in(person)
    assert person.get("/api/v1/marketplace/list").status_code == 401
    header = {"Authorization": f"Bearer {TOKENS['ada']}"}
    assert person.get("/api/v1/marketplace/list", headers=header).status_code == 200
    assert person.get("/portalx", headers=header).status_code == 404
    person.cookies.clear()
    assert person.get("/portal/jobs", headers=header).status_code == 303  # a token in a header signs nobody in


def test_a_tenant_sees_nothing_of_another(app: FastAPI, person: TestClient) -> None:
    store = app.state.tenants.get("bob.2").store
    job_id, _is_new = store.new_job("train")
    store.fail(job_id, 1, None, "bob's secret")
    sign_in(person, "ada")
    assert job_id not in person.get("/portal/jobs").text
    for path in ("", "/cancel", "/log", "/log.txt", "/log/stream"):
        answer = person.get(f"/portal/jobs/{job_id}{path}")
        assert (answer.status_code, "secret" in answer.text) == (404, False)
    sign_in(person, "bob.2")
    assert job_id in person.get("/portal/jobs").text
    assert "bob&#39;s secret" in person.get(f"/portal/jobs/{job_id}").text


def test_without_the_extra_a_plain_page_says_how_to_get_it(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "is_installed", lambda: False)
    app = FastAPI()
    assert gate.add_portal(app, Tokens(TOKENS), with_code=True) == ""
    answer = TestClient(app, URL).get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "pip install 'pytest-ibmodels[portal]'" in answer.text


def test_a_one_time_code_needs_a_single_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tokens").write_text("ada token-of-ada\nbob token-of-bob\n")
    options = ["serve", "--data", str(tmp_path / "data"), "--token-file", str(tmp_path / "tokens"), "--portal-code"]
    assert main(options) == 2
    assert "--portal-code: a one-time code is for a single token" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
