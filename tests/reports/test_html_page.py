"""Content and markup of the HTML report; test_html_browser.py tests its looks."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pytest_ibmodels.reports.files import write_atomically
from pytest_ibmodels.reports.html import page, plots
from pytest_ibmodels.reports.record import (
    CheckRecord,
    HistoryRecord,
    InferenceRecord,
    ModelReport,
    RunRecord,
    TrainingRecord,
)
from tests.reports.html_samples import (
    DIFFERING,
    FIELDS,
    FOLDER,
    HELD,
    NOT_STARTED,
    NOTHING_TO_COMPARE,
    PASSED,
    SKIPPED,
    SUNK,
    TOO_LOW,
    TRAINING_FAILED,
    WHY,
    baseline,
    change,
    check,
    history,
    report,
    run,
    started,
)

HOSTILE = "\"><script>alert(1)</script>'<img src=x onerror=alert(2)>{{ 7 * 191 }}</style>"
GOOD = run(training=TrainingRecord(outcome="passed"), inference=InferenceRecord(outcome="passed"))
BAD = run(training=TrainingRecord(outcome="passed"), inference=InferenceRecord(outcome="failed"))
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Parser that collects tags, attributes and texts, and asserts that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.html = html
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="module")
def everything() -> Reader:
    return Reader(page(report(PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED, NOT_STARTED, SKIPPED, SUNK)))


def hostile(value: Any) -> Any:
    """The record with every text and every key replaced by a hostile text."""
    if isinstance(value, BaseModel):
        kept = {"outcome", "method", "if_undecided"}
        return value.model_copy(
            update={name: item if name in kept else hostile(item) for name, item in value if item is not None}
        )
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, dict):
        return {f"{HOSTILE}{index}": hostile(item) for index, item in enumerate(value.values())}
    if isinstance(value, tuple):
        return tuple(hostile(item) for item in value)
    return value


def test_no_text_of_an_environment_becomes_markup() -> None:
    evil: ModelReport = hostile(report(PASSED, TOO_LOW, DIFFERING, TRAINING_FAILED, SUNK, WHY))
    read = Reader(page(evil))
    assert read.text.count("<script>alert(1)</script>") > 40
    assert {tag for tag, _ in read.tags} & {"script", "img", "iframe", "object", "embed", "base", "form"} == set()
    assert [name for _, attributes in read.tags for name in attributes if name.startswith("on")] == []
    assert "1337" not in read.text
    assert all(href.startswith("#run-") or href == "#top" for href in read.attributes("href"))


def test_only_web_addresses_become_links() -> None:
    links = {"job": "https://a.example/x?y=1&z=2", "worse": "javascript:alert(1)", "worst": "data:text/html,x"}
    read = Reader(page(report(run(**started(links=links)))))
    assert [href for href in read.attributes("href") if not href.startswith("#")] == ["https://a.example/x?y=1&z=2"]


def test_the_page_refers_to_nothing_outside_itself(everything: Reader) -> None:
    assert everything.attributes("src") == []
    assert "link" not in {tag for tag, _ in everything.tags}
    assert re.findall(r"url\(|@import|xlink:href|<use", everything.html) == []
    assert "default-src 'none'; style-src 'unsafe-inline'" in everything.attributes("content")


def test_every_plot_has_words_for_those_who_do_not_see_it(everything: Reader) -> None:
    plots = [attributes for _, attributes in everything.tags if attributes.get("role") == "img"]
    assert len(plots) == sum(tag == "svg" for tag, _ in everything.tags) == 15
    assert "f1 against its minimums: DL Number 0.9821 of at least 0.9500; Name 0.6712 of at least 0.9500, " in (
        " ".join(plot["aria-label"] for plot in plots)
    )
    assert any(plot["aria-label"].startswith("loss by epoch: loss from ") for plot in plots)


def test_headings_descend_one_level_at_a_time(everything: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in everything.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))


def test_ids_are_unique_and_links_within_the_page_lead_somewhere(everything: Reader) -> None:
    ids = everything.attributes("id")
    assert len(ids) == len(set(ids))
    referred = [href[1:] for href in everything.attributes("href") if href.startswith("#")]
    assert set(referred + everything.attributes("aria-labelledby")) <= set(ids)


def test_a_failed_metric_shows_its_margin_and_why_there_is_no_number(everything: Reader) -> None:
    assert "\N{MINUS SIGN}0.2788 ✕" in everything.text
    assert "exact_match of Total : the model has no such field; its fields are DL Number, Name" in everything.text
    assert "Licences on staging ✕ failed metrics ○ skipped no number exact_match of Total" in everything.text


def test_differing_predictions_are_shown_document_by_document(everything: Reader) -> None:
    text = everything.text
    assert "12 fields of 3 documents compared: 3 differ, 1 document without an answer." in text
    a, b, c = (text.index(f" {name}.ibocr ") for name in "abc")
    assert a < text.index("Ada Lovelac e") < text.index("12.50 no text") < b < text.index("12 Long Acre Road ,") < c
    assert "the Refiner returned no record for this document" in text[c:]


def test_the_text_of_a_failure_is_open_where_nothing_else_shows_it(everything: Reader) -> None:
    details = [attributes for tag, attributes in everything.tags if tag == "details"]
    assert sum("open" in attributes for attributes in details) == 2  # of the broken training, and of the dead address
    assert "job | RuntimeError: CUDA out of memory" in everything.text


@pytest.mark.parametrize(
    ("runs", "headline"),
    [
        ((), "No model test ran"),
        ((GOOD,), "The run passed"),
        ((BAD,), "The run failed"),
        ((GOOD, GOOD), "All 2 runs passed"),
        ((GOOD, BAD, BAD), "2 of 3 runs failed"),
        ((GOOD, SKIPPED), "1 of 2 runs passed"),
        ((SKIPPED, SKIPPED), "All 2 runs skipped"),
        ((run(),), "Not run"),
    ],
)
def test_the_headline_says_how_it_went(runs: tuple[RunRecord, ...], headline: str) -> None:
    read = Reader(page(report(*runs)))
    assert headline in read.texts
    assert f"{headline} · model report" in read.texts


def test_a_page_without_runs_says_why_it_is_empty() -> None:
    text = Reader(page(report(exit_status=5))).text
    assert "pytest ended with: no tests were collected" in text
    assert "No run was started" in text


def test_a_run_that_was_not_started_has_no_empty_parts() -> None:
    text = Reader(page(report(NOT_STARTED))).text
    assert "nothing answers at http://127.0.0.1:9" in text
    for absent in ("Metrics against", "Training curves", "Predictions against", "Training job", "None"):
        assert absent not in text


def test_a_training_that_reported_nothing_says_so() -> None:
    text = Reader(page(report(DIFFERING))).text
    assert "None: the job reported neither its loss nor its metrics more than once." in text


def test_odd_numbers_are_drawn_and_printed() -> None:
    checks = (
        check("perplexity", "a", 0.0, 1.5e300),
        check("perplexity", "b", -5.0, -7.25),
        check("perplexity", "c", 0.0, 0.0),
        check("tiny", "a", 1e-9, 2e-9),
    )
    points = tuple(HistoryRecord(step=step, loss=-step * 1e12) for step in range(1200))
    odd = run(**started(training=TrainingRecord(outcome="failed", checks=checks, history=points)))
    html = page(report(odd))
    assert "NaN" not in html
    text = Reader(html).text
    assert "1.5e+300" in text
    assert "\N{MINUS SIGN}7.2500 \N{MINUS SIGN}5.0000 \N{MINUS SIGN}2.2500 ✕ not reached" in text
    assert "2e-09".replace("-", "\N{MINUS SIGN}") in text


@pytest.mark.parametrize("name", ["", "\0\x1b[31m\ufffe\u202ea\n\\", "<&amp;\"'>", "👩‍🔬 שם 名前", "x" * 100_000])
def test_any_text_may_be_a_name(name: str) -> None:
    checks = (check("f1", name, 0.5, 0.4), check(name or "f1", name, 0.5, None, "no number"))
    named = run(**started(training=TrainingRecord(outcome="failed", checks=checks, history=history(2, (name,)))))
    assert page(report(named)).count("<svg") >= 4


def test_environments_are_compared_side_by_side(everything: Reader) -> None:
    assert "Licences Name f1 0.9712 ▼ 0.6712" in everything.text
    assert "Environments side by side" not in Reader(page(report(PASSED, DIFFERING))).text


def test_more_fields_than_a_plot_can_tell_apart_are_in_the_table(everything: Reader) -> None:
    assert "2 more fields in the tables below the plots." in everything.text
    assert "epoch DL Number Name Address Sex Height Eyes Class Expires" in everything.text


def test_a_page_is_written_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")
    write_atomically(path, page(report(PASSED)))
    assert path.read_text(encoding="utf-8").endswith("</html>")
    assert list(tmp_path.iterdir()) == [path]


CSS = (Path(__file__).parents[2] / "pytest_ibmodels/styles/tokens.css").read_text(encoding="utf-8")


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21 (WCAG 2.2, section 1.4.3)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_that_texts_and_lines_need(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", block))
    texts = [("ink", "card"), ("ink", "page"), ("ink", "track"), ("soft", "card"), ("soft", "page"), ("accent", "card")]
    texts += [("good", "card"), ("bad", "card"), ("good", "good-tint"), ("bad", "bad-tint"), ("soft", "quiet-tint")]
    for text, ground in texts:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line in range(1, len(FIELDS) + 3):
        assert contrast(colours[f"line-{line}"], colours["card"]) >= 3, line
    assert contrast(colours["good"], colours["bar"]) >= 1.5


def test_a_baseline_has_its_differences_and_the_documents_that_got_worse(everything: Reader) -> None:
    minus = "\N{MINUS SIGN}"
    for shown in (
        "trend: f1 of Name got worse and stays so: 0.9460 before, 0.9117 since run 10 of 12 (2026-03-01",
        "Compared with branch main ✕ got worse (a drop of 0.0100 is allowed) newest passed run: 2026-03-01 12:00 UTC,",
        f"f1 Name 0.9012 0.9346 {minus}0.0334 {minus}0.0493 to {minus}0.0181 ✕ worse",
        f"f1 Total 0.8120 0.8144 {minus}0.0024 {minus}0.0192 to +0.0139 ? undecided (about 1,704 would decide)",
        "14 documents or rows that got worse Document or row Fields in/17.ibdoc Name, Total in/4.ibdoc Name 12",
    ):
        assert shown in everything.text
    assert (
        f"differences of f1 with their 90 % intervals: Name {minus}0.0334 ({minus}0.0493 to {minus}0.0181), worse; "
    ) in " ".join(everything.attributes("aria-label"))
    text = Reader(page(report(HELD, NOTHING_TO_COMPARE))).text
    assert "the config is another one than that of the baseline A point is the difference" in text
    assert "? not compared: the history has no passed run of branch main" in text


def test_a_difference_without_an_interval_and_of_a_metric_that_should_be_low_is_drawn() -> None:
    loss = change("all", 0.3, 0.3, None, None, "undecided").model_copy(update={"metric": "loss", "method": "values"})
    odd = loss.model_copy(update={"field": "\0<b>", "new": 1e300, "difference": 1e300})
    training = TrainingRecord(outcome="passed", baseline=baseline("undecided", loss, odd, max_drop=0.0))
    html = page(report(run(**started(training=training))))
    assert html.count("<svg") == 1
    assert "NaN" not in html
    assert "the pale one" not in html


def test_bounds_intervals_and_the_model_in_use_are_shown() -> None:
    both = {"old": 0.82, "new": 0.815, "difference": -0.005, "low": -0.03, "high": 0.02}
    comparison = {"rows": 380, "learned": 20, "reason": "", "confidence": 0.9, "accuracy": None, "f1": both}
    comparison |= {"only_old_right": 12, "only_new_right": 10, "verdict": "undecided", "rows_to_decide": 9500}
    comparison["worse"] = [{"row": 17, "text": "<b>no</b>", "label": "1", "old": "1", "new": "2"}]
    part = {"unit": "rows", "count": 400, "fingerprint": "0123456789abcdef"}
    common = {"minimum": None, "maximum": 0.4, "problem": ""}
    checks = [
        CheckRecord(metric="loss", field="all", observed=0.3, margin=0.1, passed=True, **common),
        CheckRecord(metric="loss", field="b", observed=0.40001, margin=-0.00001, passed=False, **common),
        check("f1", "Name", 0.9, 1.0).model_copy(update={"interval": (0.84, 1.0), "remark": "the minimum lies within"}),
        CheckRecord(
            metric="better_than_current",
            field="f1 weighted avg",
            minimum=None,
            observed=None,
            margin=None,
            passed=True,
            undecided=True,
        ),
    ]
    values = [{"metric": "recall", "field": "Name", "value": 0.75, "interval": (0.5, 0.9)}]
    facts = {"checks": checks, "comparison": comparison, "test_part": part, "values": values}
    read = Reader(page(report(run(**started(training=TrainingRecord(outcome="failed", **facts))))))
    for shown in (
        "loss all 0.3000 \N{EN DASH} 0.4000 +0.1000 ✓ reached",
        "loss b 0.40001 \N{EN DASH} 0.40000 \N{MINUS SIGN}0.00001 ✕ not reached",
        "f1 Name 1.0000 0.9000 \N{EN DASH} +0.1000 0.84 to 1.00: the minimum lies within ✓ reached",
        "✓ undecided",
        "recall Name 0.7500 0.50 to 0.90",
        "tested on 400 rows (fingerprint 0123456789abcdef)",
        "undecided : 380 rows compared, 20 more left out",
        "About 9500 rows would decide it.",
        "17 1 1 2 <b>no</b>",
    ):
        assert shown in read.text
    assert "loss against its bounds: all 0.3000 of at most 0.4000; b 0.40001 of at most 0.40000, which is too high" in (
        read.attributes("aria-label")
    )


def test_the_page_says_why_a_training_failed() -> None:
    read = Reader(page(report(WHY)))
    for text in (
        "commit fedcba987 of main , with changes that are not committed",
        "Config batch_size: 2, learning_rate: 5e-05",
        "tested on 80 rows (split by text, seed 42, fingerprint 15e235c97103116d)",
        "0.92 0.94 0.96 0.98",  # of the axis
        "changed since the last passed run (2026-03-01 09:30 UTC, commit 0123456ab): the config",
        "Wrong predictions 12 predictions are wrong; the worst 2 are shown.",
        "Labels predicted in place of others: good -> bad: 12 of 80 .",
        f"row-3 {FOLDER}/ Label good good s 0.97 A lovely dress,",
        "row-17 Label \N{EN DASH} bad \N{EN DASH}",
    ):
        assert text in read.text
    labels = [attributes["data-label"] for tag, attributes in read.tags if tag == "td" and "data-label" in attributes]
    assert {"Training", "Lowest margin", "Expected", "Predicted", "Score", "Text", "Observed"} <= set(labels)


def test_what_the_page_shows_above_is_not_printed_again() -> None:
    read = Reader(page(report(WHY, TRAINING_FAILED)))
    again = [attributes.get("class") for tag, attributes in read.tags if tag == "details"]
    # The text of the failure of the first run, whose log stays, and the log of the second, which is in its text.
    assert again == ["again", "values", None, None, "again"]
    assert ".again { display: none; }" in read.html


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0.8, 0.96], [0.752, 1.0]),
        ([0.9], [0.873, 0.927]),
        ([0.95, 1.0], [0.92, 1.0]),
        ([0.0, 0.5], [0.0, 0.65]),
        ([None], [0.0, 1.0]),
        ([3.0, 5.0], [2.4, 5.6]),
        ([0.0], [0.0, 1.0]),
        ([-1.0, 1.0], [-1.6, 1.0]),
    ],
)
def test_axes_show_what_is_around_the_bounds(values: list[float | None], ends: list[float]) -> None:
    assert plots.axis_ends(values) == pytest.approx(ends)
