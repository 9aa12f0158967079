"""Looks of the HTML report in a real browser, at two widths and in both colour schemes."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from html import escape, unescape
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.reports.html import page
from pytest_ibmodels.reports.html.history_page import history_page
from tests.history.samples import story
from tests.reports.html_samples import DIFFERING, NOT_STARTED, PASSED, TOO_LOW, TRAINING_FAILED, report, run

if TYPE_CHECKING:
    from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here: apt-get install chromium"),
]

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
PROBE = """<script>
const style = (element, name) => getComputedStyle(element)[name];
parent.document.title = JSON.stringify({
  width: innerWidth,
  scrolls: document.documentElement.scrollWidth,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  ground: style(document.body, "backgroundColor"),
  ink: style(document.querySelector("h1"), "color"),
  bar: [...new Set([...document.querySelectorAll("svg path")].map(path => style(path, "fill")))],
  columns: style(document.querySelector(".plots"), "gridTemplateColumns").split(" ").length,
  smallest: Math.min(...[...document.querySelectorAll("svg text")].map(
    text => parseFloat(text.getAttribute("font-size")) * text.getScreenCTM().a)),
});
</script>"""
HISTORY_PROBE = """<script>
const shown = name => [...document.querySelectorAll(`.${name} svg`)].filter(svg => svg.getClientRects().length > 0);
parent.document.title = JSON.stringify({
  scrolls: document.documentElement.scrollWidth,
  wide: shown("wide").length,
  narrow: shown("narrow").length,
  smallest: Math.min(...shown("narrow").flatMap(svg => [...svg.querySelectorAll("text")]).map(
    text => parseFloat(text.getAttribute("font-size")) * text.getScreenCTM().a)),
});
</script>"""


# A browser's window has a least width, a frame has none.
FRAME = """<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark"><title></title></head>
<body style="margin: 0"><iframe style="border: 0; display: block" width="{width}" height="{height}" srcdoc="{html}">
</iframe></body></html>"""
HEIGHT = 2400


def browse(html: str, folder: Path, *, width: int, dark: bool = False) -> str:
    """Open a page, and save a screenshot in the folder.

    Returns:
        The document as the browser has it at the end.
    """
    source = folder / "report.html"
    source.write_text(html, encoding="utf-8")
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{HEIGHT}"]
    command += [f"--screenshot={folder / 'report.png'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    done = subprocess.run([*command, source.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def title(document: str) -> str:
    found = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    assert found is not None
    return unescape(found[1])


@pytest.fixture(scope="module")
def probed() -> str:
    """A page without its security policy, with a script that writes measurements into the title."""
    return POLICY.sub("", page(report(PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED, NOT_STARTED))) + PROBE


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360], ids=["wide", "narrow"])
def test_the_page_fits_and_is_legible(tmp_path: Path, probed: str, width: int, dark: bool) -> None:
    framed = FRAME.format(width=width, height=HEIGHT, html=escape(probed))
    measured: dict[str, Any] = json.loads(title(browse(framed, tmp_path, width=width, dark=dark)))
    assert measured["width"] == width
    assert measured["scrolls"] == width
    assert measured["dark"] == dark
    assert measured["ground"] == ("rgb(15, 19, 24)" if dark else "rgb(246, 247, 249)")
    assert measured["ink"] == ("rgb(232, 235, 239)" if dark else "rgb(26, 31, 39)")
    assert ("rgb(85, 201, 122)" if dark else "rgb(20, 120, 58)") in measured["bar"]
    assert measured["columns"] == (3 if width > 1000 else 1)
    assert measured["smallest"] >= 10
    picture = (tmp_path / "report.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24]) == (width, HEIGHT)
    assert len(picture) > 50_000


def test_the_page_of_the_history_fits_on_a_phone(tmp_path: Path) -> None:
    pytest.importorskip("numpy", reason="the history needs numpy")
    runs = [run for run in story() if run.environment == "dogfood"]
    html = POLICY.sub("", history_page("receipts", runs, "f1", 0.01)[0]) + HISTORY_PROBE
    framed = FRAME.format(width=360, height=HEIGHT, html=escape(html))
    measured: dict[str, Any] = json.loads(title(browse(framed, tmp_path, width=360)))
    assert (measured["scrolls"], measured["wide"], measured["narrow"]) == (360, 0, 2)
    assert measured["smallest"] >= 10


def test_the_page_runs_no_script_even_if_one_got_in(tmp_path: Path) -> None:
    attack = '<script>document.title = "taken over"</script><img src=x onerror="document.title = \'taken over\'">'
    html = page(report(run(test=attack))).replace("</main>", f"{attack}</main>")
    assert title(browse(html, tmp_path, width=800)) == "Not run · model report"
