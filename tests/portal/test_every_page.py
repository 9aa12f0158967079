"""Every page in a browser: legible in each look, reached by the keyboard alone, and complete without JavaScript."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.reports.html import page
from tests.portal.conftest import open_tab, violations
from tests.portal.every_page import EveryPage, Shown, Who, sign_in_as
from tests.reports.html_samples import DIFFERING, PASSED, TOO_LOW, TRAINING_FAILED, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

LOOKS: tuple[tuple[int, Any, tuple[str, ...]], ...] = (
    (360, "dark", ()),
    (1920, "light", ("color-contrast", "scrollable-region-focusable")),
)
"""Width, colours and rules of axe-core, none being all: those that depend on the look are checked in each."""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[EveryPage]:
    running = EveryPage(tmp_path_factory.mktemp("every-page") / "data", tiny_bert)
    yield running
    running.close()


def visited(tab: Page, portal: EveryPage) -> Iterator[Shown]:
    """Open each page, one after the other, each as the person whose page it is."""
    who: Who = "nobody"
    for shown in portal.pages():
        if shown.who != who:
            tab.context.clear_cookies()
            sign_in_as(tab, shown.who)
        who = shown.who
        shown.open(tab)
        yield shown
        if shown.name in {"send-again", "ended-session"}:
            who = "nobody"


# --- looks ---

STRUCTURE = """() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const seen = element => element.checkVisibility({visibilityProperty: true});
  const faults = [];
  const must = (is, what) => is || faults.push(what);
  must(document.documentElement.lang === "en", "no language");
  must(document.title.endsWith("· sandbox"), `the title is ${document.title}`);
  must(all("h1").filter(seen).length === 1, "not one h1");
  must(all("main, [role=main]").length === 1, "not one main");
  must(all("body > header").length === 1, "no banner");
  must(document.querySelector("main h1"), "the h1 is not in main");
  let level = 1;
  for (const heading of all("h1, h2, h3, h4").filter(seen)) {
    must(Number(heading.tagName[1]) <= level + 1, `a level is left out before ${heading.innerText}`);
    level = Number(heading.tagName[1]);
  }
  for (const field of all("input:not([type=hidden]), select, textarea").filter(seen)) {
    must(field.labels.length || field.ariaLabel, `${field.name} has no label`);
  }
  for (const button of all("button").filter(seen)) must(button.form, `${button.innerText} belongs to no form`);
  for (const link of all("a").filter(seen)) {
    must(link.getAttribute("href") && link.getAttribute("href") !== "#", `${link.innerText} leads nowhere`);
  }
  must(all("img, main script, main style").length === 0, "a text became markup");
  return faults;
}"""


def test_every_page_in_every_look(browser: Browser, portal: EveryPage, pictures: Path) -> None:
    faults: list[str] = []
    with open_tab(browser, portal) as tab:
        for shown in visited(tab, portal):
            found = list(tab.evaluate(STRUCTURE))
            for width, scheme, rules in LOOKS:
                tab.set_viewport_size({"width": width, "height": 800})
                tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                scrolls = tab.evaluate("document.documentElement.scrollWidth")
                found += [f"{scrolls} px wide at {width}"] if scrolls != width else []
                found += violations(tab, *rules)
                tab.screenshot(path=pictures / f"{shown.name}-{width}-{scheme}.png", full_page=True)
            found += unreached(tab)
            faults += [f"{shown.name}: {fault}" for fault in found]
    assert faults == []


# --- keyboard ---

RECORD = """() => {
  const name = element => `${element.tagName.toLowerCase()} ${element.id || element.name || ""} ` +
    (element.ariaLabel || element.innerText || element.value || "").slice(0, 40).trim();
  // A part that renews itself has other elements of the same ids.
  const now = element => (element.id && document.getElementById(element.id)) || element;
  window.reached = [];
  document.addEventListener("focusin", event => {
    const element = event.target;
    if (element.tabIndex < 0 || window.reached.some(([one]) => now(one) === now(element))) return;
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const faults = [];
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) faults.push("no mark of focus");
    if (box.width < 2 || box.height < 2) faults.push("is not to be seen");
    const isOn = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    if (!isOn) faults.push("off-screen");
    window.reached.push([element, faults]);
  });
  window.faultsOfFocus = () => {
    const seen = element => element.checkVisibility({visibilityProperty: true});
    const wanted = [...document.querySelectorAll(
      "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter(seen);
    const reached = window.reached.map(([element]) => now(element));
    const order = (one, other) => one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1;
    const missed = wanted.filter(element => !reached.includes(element));
    const faults = missed.map(element => `never reached: ${name(element)}`);
    if (!reached.every((element, index) => index === 0 || order(reached[index - 1], element) < 0)) {
      faults.push(`the order is strange: ${reached.map(name).join(", ")}`);
    }
    for (const [element, found] of window.reached) faults.push(...found.map(fault => `${fault}: ${name(element)}`));
    const clickable = [...document.querySelectorAll("[onclick], [role=button], [role=link]")].filter(seen);
    for (const element of clickable) if (!wanted.includes(element)) faults.push(`only for a mouse: ${name(element)}`);
    return [...new Set(faults)];
  };
  document.activeElement.blur();
  getSelection().removeAllRanges();
  return document.querySelectorAll(
    "a, button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']").length;
}"""


def unreached(tab: Page) -> list[str]:
    """Faults that a person meets who has no mouse: what the key Tab never reaches, or marks in no way."""
    count = tab.evaluate(RECORD)
    tab.locator("body").evaluate("body => { body.tabIndex = -1; body.focus(); body.removeAttribute('tabindex'); }")
    faults = []
    for pressed in range(count + 1):
        tab.keyboard.press("Tab")
        if pressed == 0:
            faults += skip_link_faults(tab)
    return [*faults, *tab.evaluate("faultsOfFocus()")]


def skip_link_faults(tab: Page) -> list[str]:
    tab.keyboard.press("Enter")
    found = tab.evaluate("document.activeElement.id")
    tab.evaluate("document.querySelector('.skip').focus()")
    return [] if found == "content" else [f"the skip link leads to {found!r}"]


# --- without JavaScript ---

TEXT = """() => {
  const main = document.querySelector("main").cloneNode(true);
  main.querySelectorAll("noscript, .script, [hidden], time, datalist").forEach(element => element.remove());
  return main.textContent;
}"""


def test_no_page_needs_javascript(browser: Browser, portal: EveryPage) -> None:
    """The same words are there, but for suggestions, ages, and sentences for those with JavaScript or without it."""
    texts: list[dict[str, list[str]]] = []
    moving = {shown.name for shown in portal.pages() if shown.is_moving}
    for has_script in (True, False):
        with open_tab(browser, portal, java_script_enabled=has_script) as tab:
            texts.append({shown.name: sorted(tab.evaluate(TEXT).split()) for shown in visited(tab, portal)})
    plain, rich = texts
    for name in plain.keys() - moving:
        assert plain[name] == rich[name], name


# --- parts that renew themselves ---


def test_a_part_that_renews_itself_keeps_focus_and_place_and_says_what_is_new(
    browser: Browser, portal: EveryPage
) -> None:
    with open_tab(browser, portal, viewport={"width": 700, "height": 800}) as tab:
        sign_in_as(tab, "ada")
        link = tab.locator(f"#job-{portal.running}")
        link.focus()
        tab.locator("#jobs-table").evaluate("table => { table.scrollLeft = 40; table.dataset.old = 'yes'; }")
        tab.locator("#jobs-table:not([data-old])").wait_for()
        assert tab.evaluate("document.activeElement.id") == f"job-{portal.running}"
        assert tab.locator("#jobs-table").evaluate("table => table.scrollLeft") == 40
        news = tab.get_by_role("status").filter(has_text="running")
        assert news.count() == 0, "nothing is new"
        started = portal.train_shown(until="never")
        news.get_by_text("2 queued, 1 running").wait_for()
        portal.api("jobs/cancel", {"job_id": started})
        news.get_by_text("1 queued, 1 running").wait_for()
        assert tab.evaluate("document.activeElement.id") == f"job-{portal.running}"


# --- the report of pytest ---

COLOURS = """() => Object.fromEntries([...document.styleSheets].flatMap(sheet => [...sheet.cssRules])
  .filter(rule => rule.selectorText === ":root").flatMap(rule => [...rule.style]).filter(name => name.startsWith("--"))
  .map(name => [name, getComputedStyle(document.documentElement).getPropertyValue(name)]))"""


def test_the_report_of_pytest_has_the_colours_of_the_portal(
    browser: Browser, portal: EveryPage, pictures: Path, tmp_path: Path
) -> None:
    written = tmp_path / "report.html"
    written.write_text(page(report(PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED)), encoding="utf-8")
    with open_tab(browser, portal) as tab, contextlib.closing(browser.new_page()) as other:
        tab.goto("/portal/sign-in")
        other.goto(written.as_uri())
        for width, scheme, _rules in LOOKS:
            for one in (tab, other):
                one.set_viewport_size({"width": width, "height": 800})
                one.emulate_media(color_scheme=scheme)
            colours = other.evaluate(COLOURS)
            assert len(colours) > 15
            assert colours == tab.evaluate(COLOURS)
            assert violations(other) == []
            other.screenshot(path=pictures / f"report-of-pytest-{width}-{scheme}.png", full_page=True)


# --- long logs ---

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


def test_a_long_log_is_read_in_parts_and_does_not_stop_the_page(browser: Browser, portal: EveryPage) -> None:
    """A job writes 20 MiB while its page is open: the page follows, and answers all the time."""
    portal.api("jobs/cancel", {"job_id": portal.queued})
    portal.api("jobs/cancel", {"job_id": portal.running})
    job_id = portal.train_shown("talk", mebibytes=20)
    with open_tab(browser, portal) as tab:
        sign_in_as(tab, "ada")
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
