"""The portal in a real browser: from signing in to cancelling a training, and what goes wrong on the way."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.reports.html import page
from tests.portal.conftest import Portal, open_tab, sign_in, violations, wait_for_value
from tests.portal.pushed import FILES, FOLDER
from tests.reports.html_samples import DIFFERING, PASSED, TOO_LOW, TRAINING_FAILED, report

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

LOOKS: tuple[tuple[int, Any], ...] = ((360, "dark"), (1920, "light"))


def lines_of(tab: Page) -> list[str]:
    return tab.locator("#log").inner_text().splitlines()


def wait_for_text(tab: Page, selector: str, text: str) -> None:
    tab.locator(selector).get_by_text(text).first.wait_for()


def test_a_person_signs_in_follows_a_training_and_cancels_it(portal: Portal, tab: Page) -> None:
    job_id = portal.train_shown(until="never", pause=0.02, model_name="<b>Invoices</b>")
    tab.goto("/")
    assert tab.url.endswith("/portal/sign-in")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    sign_in(tab)
    tab.locator(f"#job-{job_id}").click()
    wait_for_text(tab, "#log", "line 100")  # the log is followed
    assert tab.locator("svg[role=img]").count() == 3  # the rest renews itself
    assert tab.locator("#log .error").first.inner_text().strip() == "ERROR: row 17 has no label"
    tab.get_by_role("link", name="First error").click()
    assert tab.locator("#first-error").inner_text().strip() == "ERROR: row 17 has no label"
    tab.go_back()
    tab.get_by_role("link", name="Cancel…").click()
    tab.get_by_role("button", name="Cancel the job").dblclick()
    wait_for_text(tab, "main", "The job is cancelled.")
    assert tab.locator(".state").inner_text() == "cancelled"
    assert [entry[2:] for entry in portal.audit() if entry[1] == f"job {job_id}"] == [
        ("cancel", "running", "cancelled")
    ]
    tab.get_by_role("button", name="Sign out").click()
    tab.goto(f"/portal/jobs/{job_id}")
    assert "/portal/sign-in" in tab.url


def test_everything_works_without_javascript(portal: Portal, plain: Page) -> None:
    job_id = portal.train_shown(until="never", pause=0)
    tab = plain
    tab.goto("/portal/jobs")
    tab.get_by_label("State").select_option("running")
    tab.get_by_role("button", name="Filter").click()
    tab.locator(f"#job-{job_id}").click()
    assert "reload the page" in tab.locator("main").inner_text()
    portal.wait_for_report(job_id, "evaluations")
    tab.reload()
    assert "step 39" in lines_of(tab)
    tab.get_by_role("link", name="Cancel…").click()
    tab.get_by_role("button", name="Cancel the job").click()
    assert "The job is cancelled." in tab.locator("main").inner_text()


def test_a_session_that_ends_stops_the_page_and_says_so(portal: Portal, signed_in: Page) -> None:
    job_id = portal.train_shown(until="never", pause=0)
    signed_in.goto(f"/portal/jobs/{job_id}")
    wait_for_text(signed_in, "#log", "line 3")
    with contextlib.closing(sqlite3.connect(portal.data / "sandbox.sqlite")) as database, database:
        database.execute("DELETE FROM portal_sessions")
    signed_in.locator("#signed-out").wait_for()
    assert "You are signed out" in signed_in.locator("#signed-out").inner_text()
    assert signed_in.locator("#log").inner_text() != ""
    signed_in.get_by_role("link", name="Cancel…").click()
    signed_in.get_by_label("Token").fill("made-up-token")
    signed_in.get_by_role("button", name="Sign in").click()
    assert signed_in.url.endswith(f"/portal/jobs/{job_id}/cancel")
    portal.api("jobs/cancel", {"job_id": job_id})


def test_a_log_has_no_gap_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    first = Portal(tmp_path / "data")
    first.push(FOLDER, FILES)
    job_id = first.train_shown(until="never", pause=0)
    context = browser.new_context(base_url=first.url)
    tab = context.new_page()
    sign_in(tab)
    tab.goto(f"/portal/jobs/{job_id}")
    wait_for_text(tab, "#log", "line 20")
    first.process.kill()
    first.process.wait()
    tab.locator("#offline").wait_for()
    port = first.url.rpartition(":")[2]
    second = Portal(tmp_path / "data", "--port", port)
    try:
        wait_for_text(tab, "main", "the sandbox was restarted while this job was running")
        tab.locator("#offline").wait_for(state="hidden")
        written = (second.data / "jobs" / job_id / "log.txt").read_text().splitlines()
        wait_for_value(tab, f"document.querySelectorAll('#log .line').length >= {min(len(written), 1000)}")
        assert [line for line in lines_of(tab) if line.startswith("line")] == [
            line for line in written if line.startswith("line")
        ]
    finally:
        context.close()
        second.close()
        first.close()


COLOURS = """() => Object.fromEntries([...document.styleSheets].flatMap(sheet => [...sheet.cssRules])
  .filter(rule => rule.selectorText === ":root").flatMap(rule => [...rule.style]).filter(name => name.startsWith("--"))
  .map(name => [name, getComputedStyle(document.documentElement).getPropertyValue(name)]))"""


def test_the_report_of_pytest_has_the_colours_of_the_portal(
    browser: Browser, portal: Portal, pictures: Path, tmp_path: Path
) -> None:
    written = tmp_path / "report.html"
    written.write_text(page(report(PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED)), encoding="utf-8")
    with open_tab(browser, portal) as tab, contextlib.closing(browser.new_page()) as other:
        tab.goto("/portal/sign-in")
        other.goto(written.as_uri())
        for width, scheme in LOOKS:
            for one in (tab, other):
                one.set_viewport_size({"width": width, "height": 800})
                one.emulate_media(color_scheme=scheme)
            colours = other.evaluate(COLOURS)
            assert len(colours) > 15
            assert colours == tab.evaluate(COLOURS)
            assert violations(other) == []
            other.screenshot(path=pictures / f"report-of-pytest-{width}-{scheme}.png", full_page=True)


SLOWEST = """() => {
  window.slowest = 0;
  let last = performance.now();
  const next = () => {
    const now = performance.now();
    window.slowest = Math.max(window.slowest, now - last);
    last = now;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}"""


def test_a_long_log_is_read_in_parts_and_does_not_stop_the_page(browser: Browser, portal: Portal) -> None:
    """A job writes 20 MiB while its page is open: the page follows, and answers all the time."""
    job_id = portal.train_shown("talk", mebibytes=20)
    with open_tab(browser, portal) as tab:
        sign_in(tab)
        tab.goto(f"/portal/jobs/{job_id}")
        tab.evaluate(SLOWEST)
        tab.locator("#log").get_by_text("the last line").wait_for()
        assert tab.evaluate("slowest") < 1000
        assert tab.locator("#log .line").count() <= 1000
        tab.get_by_role("link", name="First error").click()
        assert tab.locator("#first-error").inner_text().strip() == "ERROR: row 17 has no label"
        assert tab.locator("#first-error").evaluate("line => line.getBoundingClientRect().top") < 720
        tab.get_by_role("link", name="Beginning").click()
        tab.get_by_text("line 0 of", exact=False).wait_for()
        shown = tab.locator(".log .line")
        seen = shown.count()
        tab.get_by_role("link", name="Later").click()
        tab.wait_for_url("**from=*")
        tab.get_by_text(f"line {seen} of", exact=False).wait_for()
        tab.get_by_role("link", name="Earlier").click()
        tab.get_by_text("line 0 of", exact=False).wait_for()
