from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ibformers
from tests.portal.client import Person
from tests.portal.pushed import FILES, FOLDER, PACKAGE
from tests.sandbox.running import TOKEN, RunningSandbox

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from playwright.sync_api import Browser, Page

    from pytest_ibmodels.sandbox.services.tenant import Tenants

PICTURES = "PORTAL_PICTURES"
"""Environment variable: folder that keeps the pictures of pages, also of a page at which a test failed."""
CODE = "acme/code/fs/Drive/ibformers"
"""Folder of the training code, mounted from this project."""
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Portal(RunningSandbox):
    """A sandbox whose portal is looked at."""

    @property
    def url(self) -> str:
        return str(self.announced["url"])

    def train_shown(self, function: str = "learn", **arguments: Any) -> str:
        """Start a training of the code in ``pushed.py``."""
        return self.train(f"{FOLDER}/{PACKAGE}", f"{PACKAGE}.training.{function}", **arguments)

    def audit(self) -> list[tuple[str, ...]]:
        """Who, subject, action, state before and after of each entry."""
        with contextlib.closing(sqlite3.connect(self.data / "sandbox.sqlite")) as database:
            return list(database.execute('SELECT who, subject, action, "before", "after" FROM audit'))


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One sandbox for all tests, which share its jobs."""
    running = Portal(tmp_path_factory.mktemp("portal") / "data", "--max-jobs", "2", "--portal-code")
    running.push(FOLDER, FILES)
    yield running
    running.close()


@pytest.fixture(scope="session")
def tuning_portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One sandbox with the training code in its drive, for all tests of tuned models."""
    mount = f"{CODE}={Path(ibformers.__file__).parent}"
    data = tmp_path_factory.mktemp("tuning") / "data"
    running = Portal(data, "--max-jobs", "2", "--portal-code", "--mount", mount, preload=True)
    # The server imports the libraries first, in the background.
    running.http.get("/api/v1/tuning/models", params={"script_packages": CODE}, timeout=120)
    yield running
    running.close()


@pytest.fixture
def person(portal: Portal) -> Iterator[Person]:
    """A person who is signed in, without a browser."""
    with Person(portal.url) as someone:
        assert someone.sign_in().status_code == 303
        yield someone


# Not for the whole session: while Playwright is open, an event loop runs, and no other test could run one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright; it downloads nothing."""
    api = pytest.importorskip("playwright.sync_api", reason="there is no Playwright here: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The folder in which pictures of pages are kept."""
    folder = Path(os.environ.get(PICTURES) or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note on a test that it has failed, for its fixtures."""
    report = yield
    item.stash[_HAS_FAILED] = report.failed or item.stash.get(_HAS_FAILED, False)
    return report


@contextlib.contextmanager
def open_tab(browser: Browser, portal: Portal, **options: Any) -> Iterator[Page]:
    """Open a tab of a browser of its own, which must ask no other address than the sandbox's, and print no error."""
    context = browser.new_context(base_url=portal.url, **options)
    context.set_default_timeout(20_000)
    asked: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    try:
        yield page
    finally:
        context.close()
    assert [url for url in asked if not url.startswith(f"{portal.url}/")] == []
    assert errors == []


@pytest.fixture
def tab(browser: Browser, portal: Portal, pictures: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab as :func:`open_tab` opens it; its page is kept as a picture if the test fails."""
    with open_tab(browser, portal) as page:
        yield page
        if request.node.stash.get(_HAS_FAILED, False):
            page.screenshot(path=pictures / f"failed-{re.sub(r'[^a-z0-9]+', '-', request.node.name)}.png")


@pytest.fixture
def signed_in(tab: Page) -> Page:
    """A tab in which a person is signed in."""
    sign_in(tab)
    return tab


@pytest.fixture
def plain(browser: Browser, portal: Portal) -> Iterator[Page]:
    """A tab without JavaScript in which a person is signed in."""
    with open_tab(browser, portal, java_script_enabled=False) as page:
        sign_in(page)
        yield page


def sign_in(tab: Page, token: str = TOKEN) -> None:
    tab.goto("/portal/sign-in")
    tab.get_by_label("Token").fill(token)
    tab.get_by_role("button", name="Sign in").click()
    tab.wait_for_url("**/portal/jobs")


@cache
def _axe_script() -> str:
    found = pytest.importorskip("axe_playwright_python.base", reason="pip install axe-playwright-python")
    script: str = found.AXE_SCRIPT
    return script


def wait_for_value(tab: Page, expression: str, seconds: float = 30.0) -> Any:
    """Return the value of an expression or function once it is true.

    Playwright's `wait_for_function` evaluates a text in the page, which the portal's Content-Security-Policy forbids
    from the second try on.
    """
    deadline = time.monotonic() + seconds
    while not (value := tab.evaluate(expression)):
        assert time.monotonic() < deadline, f"not true after {seconds:g} s: {expression}"
        tab.wait_for_timeout(50)
    return value


def violations(tab: Page, *rules: str) -> list[str]:
    """Faults that axe-core finds on a page, by all rules or these."""
    # Its script has half a megabyte.
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(_axe_script())
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found: list[dict[str, Any]] = tab.evaluate("async options => (await axe.run(options)).violations", options)
    return [f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def close_tenants(tenants: Tenants) -> None:
    """Close the tenants of an application in this process, and leave alone the sandboxes that it has started."""
    for tenant in tenants._by_name.values():
        tenant.close()
    tenants._folder.close()
