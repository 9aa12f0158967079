"""Every page in a browser: legible in each look, reached by the keyboard alone, and complete without JavaScript."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.portal.conftest import PICTURES, open_tab, violations
from tests.portal.every_page import EveryPage, Shown, Who, sign_in_as

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


SOME = 4
"""All pages take two minutes: where no pictures are kept, every fourth page is looked at."""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[EveryPage]:
    running = EveryPage(tmp_path_factory.mktemp("every-page") / "data", tiny_bert)
    yield running
    running.close()


def visited(tab: Page, portal: EveryPage) -> Iterator[Shown]:
    """Open the pages, one after the other, each as the person whose page it is."""
    who: Who = "nobody"
    for shown in portal.pages()[:: 1 if PICTURES in os.environ else SOME]:
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


TEXT = """() => {
  const main = document.querySelector("main").cloneNode(true);
  main.querySelectorAll("noscript, .script, [hidden], time, datalist").forEach(element => element.remove());
  return main.textContent;
}"""


def test_every_page_in_every_look(browser: Browser, portal: EveryPage, pictures: Path) -> None:
    """Each page is whole in each look, by keyboard, and without JavaScript.

    Without it the same words are there, but for suggestions, ages, and sentences that are only for those with it or
    without it. One test, because each page takes some time to reach.
    """
    faults: list[str] = []
    words: dict[str, list[str]] = {}
    with open_tab(browser, portal) as tab:
        for shown in visited(tab, portal):
            words[shown.name] = sorted(tab.evaluate(TEXT).split())
            found = list(tab.evaluate(STRUCTURE))
            for width, scheme, rules in LOOKS:
                tab.set_viewport_size({"width": width, "height": 800})
                tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                scrolls = tab.evaluate("document.documentElement.scrollWidth")
                found += [f"{scrolls} px wide at {width}"] if scrolls != width else []
                found += violations(tab, *rules)
                if PICTURES in os.environ:  # they take a third of the time
                    tab.screenshot(path=pictures / f"{shown.name}-{width}-{scheme}.png", full_page=True)
            found += unreached(tab)
            faults += [f"{shown.name}: {fault}" for fault in found]
    assert faults == []
    with open_tab(browser, portal, java_script_enabled=False) as tab:
        for shown in visited(tab, portal):
            assert shown.is_moving or sorted(tab.evaluate(TEXT).split()) == words[shown.name], shown.name


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
