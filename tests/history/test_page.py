"""The history as a page: what it shows, what it refuses, and that no text of a history becomes markup."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels import cli
from pytest_ibmodels.history.levels import shifts_of
from pytest_ibmodels.history.runs import StoredMetric
from pytest_ibmodels.history.series import series_of
from pytest_ibmodels.history.store import History
from pytest_ibmodels.history.trend import all_alerts, level_starts
from pytest_ibmodels.reports.html import history_page, history_plot
from pytest_ibmodels.reports.html.history_points import line_of
from tests.history.samples import run, story
from tests.reports.test_html_page import HOSTILE, Reader

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.history.series import Series


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose history is the generated one."""
    folder = tmp_path_factory.mktemp("receipts")
    (folder / "pytest.ini").write_text("[pytest]\nibmodels_history = sqlite:///history.db\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "receipts"\n')
    with History.open(f"sqlite:///{folder}/history.db") as history:
        history.add(*story())
    return folder


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("IBMODELS_HISTORY", raising=False)


@pytest.fixture(scope="module")
def page(project: Path) -> Reader:
    """The page of the whole history, written by the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.delenv("IBMODELS_HISTORY", raising=False)
        assert cli.main(["history", "--html", "page.html"]) == 0
    return Reader((project / "page.html").read_text(encoding="utf-8"))


def section(page: Reader, title: str, number: int = 0) -> str:
    """The markup of a series; those of the same title in the order of the page."""
    parts = re.split(r'(?=<section class="series")', page.html)[1:]
    return [part for part in parts if title in Reader(part.partition("</header>")[0] + "</header></section>").text][
        number
    ]


def series(environment: str, metric: str, field: str) -> list[Series]:
    return [one for one in series_of(story()) if one.key[1:4] == (environment, metric, field)]


def test_the_page_is_one_file_without_scripts(page: Reader, project: Path) -> None:
    tags = {tag for tag, _ in page.tags}
    assert tags & {"script", "link", "img", "iframe", "object"} == set()
    assert page.attributes("src") == []
    assert re.findall(r"url\(|@import|xlink:href|<use", page.html) == []
    assert [name for name in page.html.split('"') if name.startswith("default-src")] == [
        "default-src 'none'; style-src 'unsafe-inline'"
    ]
    assert "116 runs 2026-03-01 to 2026-04-09 the last 100 runs of each model test" in page.text
    ids = set(page.attributes("id"))
    assert {href for href in page.attributes("href") if href.startswith("#")} <= {f"#{name}" for name in ids}
    assert len(re.findall('<section class="series"', page.html)) == 10
    assert len(re.findall('<svg class="spark"', page.html)) == 10
    assert sorted(path.name for path in project.iterdir() if path.name.startswith((".page", "page"))) == ["page.html"]


def test_the_worst_series_come_first(page: Reader) -> None:
    overview = page.text.partition("Overview")[2].partition("Signs in the plots")[0]
    order = re.findall(r"(Receipts|Reviews) on (\w+) (\w+) of (\w+)", overview)
    assert order[0] == ("Receipts", "dogfood", "f1", "Name")
    assert order.index(("Receipts", "dogfood", "f1", "Total")) > order.index(("Reviews", "sandbox", "accuracy", "all"))
    assert "f1 of Name , an earlier series 0.8893" in overview
    assert "0.8910 \N{MINUS SIGN}0.0456 0.9000 ✕ not reached 40" in overview
    assert "at most 0.5000 ✓ reached" in overview


def test_a_shift_is_a_sentence_a_sign_and_two_levels(page: Reader) -> None:
    part = section(page, "f1 of Name Receipts on dogfood")
    assert re.search(
        r"got worse and stays so: 0\.9420 before, 0\.8853 from run 25 on "
        r"\(2026-03-25 12:00 UTC, commit \w{9}\); significant with run 27<",
        part,
    )
    assert part.count(">▼</text>") == 2
    assert part.count('stroke="var(--accent)"') == 4
    better = section(page, "f1 of Total Receipts on dogfood")
    assert "got better: 0." in better
    assert ">▲</text>" in better


def test_every_point_has_its_facts_as_a_title_and_as_a_row(page: Reader) -> None:
    part = section(page, "f1 of Name Receipts on dogfood")
    titles = re.findall(r"<title>(.*?)</title>", part)
    assert len(titles) == 40
    assert re.fullmatch(
        r"run 25, 2026-03-25 12:00 UTC, commit \w{9}, version 1.3.0, failed, 0.8\d+, at least 0.9000", titles[24]
    )
    assert ", error, " in titles[7]
    (row,) = (row for row in part.split("<tr>") if row.startswith('<td class="number">25<'))
    assert re.fullmatch(
        r"25 2026-03-25 12:00 UTC \w{9} main 1\.3\.0 failed 0\.8\d+ 0\.\d+ to 0\.\d+ 0\.9000 5 min \d\d s",
        Reader(f"<tr>{row.partition('</tr>')[0]}</tr>").text,
    )
    assert 'href="https://github.com/acme/receipts/actions/runs/7" rel="noreferrer"' in row
    assert part.count("<tr>") == 41


def test_a_minimum_that_changes_is_a_step_and_releases_are_marked(page: Reader) -> None:
    (one,) = series("dogfood", "f1", "Name")
    line = line_of(one, has_ended=False)
    flat, steps = history_plot._bounds(line)
    assert flat == [{"x": 0.5, "x2": 16.5, "y": 0.85}, {"x": 16.5, "x2": 40.5, "y": 0.9}]
    assert steps == [{"x": 16.5, "y": 0.85, "y2": 0.9}]
    assert list(line.releases) == [(13, "1.3.0"), (34, "2.0.0-rc.1")]
    part = section(page, "f1 of Name Receipts on dogfood")
    assert part.count(">1.3.0</text>") == part.count(">2.0.0-rc.1</text>") == 2
    assert part.count('stroke-dasharray="1,3"') == 4
    assert part.count('stroke-dasharray="4,3"') == 6


def test_a_new_config_begins_a_series_and_ends_another(page: Reader) -> None:
    newer = section(page, "f1 of Name Receipts on prod")
    assert re.search(r"new series from 2026-03-31 12:00 UTC, commit \w{9}: the config changed<", newer)
    assert "an earlier series: later runs have another test part or config" in section(
        page, "f1 of Name Receipts on prod", 1
    )


def test_repeats_are_one_point_with_their_mean(page: Reader) -> None:
    part = section(page, "accuracy of all Reviews on sandbox")
    assert len(re.findall("<title>", part)) == 12
    assert part.count('opacity="0.45"') == 2 * 36
    (row,) = (row for row in part.split("<tr>") if row.startswith('<td class="number">1<'))
    cells = Reader(f"<tr>{row.partition('</tr>')[0]}</tr>").text.split()
    mean, *values = (float(cell.strip(",")) for cell in cells if re.fullmatch(r"0\.9\d+,?", cell))
    assert len(values) == 4
    assert mean == pytest.approx(sum(values[:3]) / 3, abs=1e-4)


def evil(number: int) -> StoredRun:
    """A run whose texts are all hostile."""
    names = ("project", "test", "environment", "verdict", "package", "commit", "branch", "ci_run")
    metric = StoredMetric(HOSTILE, HOSTILE, 0.9, 0.8, 0.95, minimum=0.8)
    texts: dict[str, Any] = dict.fromkeys(names, f"{HOSTILE}\x07")
    return replace(run(number), **texts, version=f"{HOSTILE}{number}", metrics=(metric,))


def test_no_text_of_a_history_becomes_markup() -> None:
    html, _ = history_page.history_page(HOSTILE, [evil(1), evil(2)], None, 0.01, selection=HOSTILE)
    read = Reader(html)
    assert read.text.count("<script>alert(1)</script>") > 15
    assert {tag for tag, _ in read.tags} & {"script", "img", "iframe", "object", "embed", "base", "form"} == set()
    assert [name for _, attributes in read.tags for name in attributes if name.startswith("on")] == []
    assert "1337" not in read.text
    assert [href for href in read.attributes("href") if not href.startswith("#")] == []


def test_series_beyond_the_most_plots_are_in_the_overview_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_page, "MOST_PLOTS", 1)
    html, shown = history_page.history_page("receipts", [run(1), run(2, None)], None, 0.01)
    read = Reader(html)
    assert shown == "the worst 1 of 3 series of 2 runs"
    assert (html.count('<section class="series"'), html.count('<svg class="spark"')) == (1, 2)
    assert "plots of the first 1 series; 2 more are not drawn" in read.text
    assert read.text.count("f1 of Total") == 1


def test_one_series_is_chosen_as_in_the_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("Receipts", "--env", "dogfood", "--metric", "loss", "--last", "5")
    assert cli.main(["history", *options, "--html", "loss.html"]) == 0
    assert capsys.readouterr() == ("", "loss.html: 1 series of 5 runs\n")
    assert (
        "5 runs 2026-04-05 to 2026-04-09 Receipts, dogfood, loss, the last 5 runs of each model test"
        in Reader((project / "loss.html").read_text(encoding="utf-8")).text
    )
    assert cli.main(["history", "--metric", "f2", "--html", "f2.html"]) == 4
    assert capsys.readouterr().err == "ERROR: --metric 'f2': not in the history; known are: f1, loss, accuracy\n"
    assert not (project / "f2.html").exists()


def test_an_empty_history_is_a_page_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["history", "--html", "page.html"]) == 0
    assert "This history has no runs yet" in Reader((tmp_path / "page.html").read_text(encoding="utf-8")).text


def test_what_cannot_be_written_is_a_sentence(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, reason in (
        ("missing/page.html", "create its folder missing first"),
        (".", "this is a folder, not a file"),
    ):
        assert cli.main(["history", "--html", file]) == 4
        assert capsys.readouterr().err == f"ERROR: --html {file}: {reason}\n"
    name = f"{'x' * 250}.html"
    assert cli.main(["history", "--last", "1", "--metric", "accuracy", "--html", name]) == 1
    assert capsys.readouterr().err == f"{name} cannot be written: File name too long\n"
    assert not (project / "missing").exists()


def test_without_the_extra_the_page_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("pytest_ibmodels.reports.html")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert cli.main(["history", "--html", "none.html"]) == 4
    assert capsys.readouterr().err == (
        "ERROR: --html needs a package that is not installed (jinja2): pip install 'pytest-ibmodels[report]'\n"
    )


def test_a_wrong_smallest_shift_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nibmodels_trend_min_shift = none\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["history", "--html", "none.html"]) == 4
    assert capsys.readouterr().err == "ERROR: ibmodels_trend_min_shift = 'none': should be a number above 0\n"


def test_shifts_are_those_that_pytest_warns_of() -> None:
    runs = [run for run in story() if run.environment == "dogfood"]
    shifts = shifts_of(runs, [("f1", "Name"), ("f1", "Total")], 0.01)
    ended = [run for run in runs if run.verdict != "error"]
    values = {
        field: [metric.value for run in ended for metric in run.metrics if metric.field == field]
        for field in ("Name", "Total")
    }
    alerts = all_alerts(values)
    (shift,), (alert,) = shifts["f1", "Name"].shifts, alerts["Name"]
    assert shift.is_worse
    assert shift.shown_by == ended[alert.run]
    assert abs(ended.index(shift.since) - alert.shift.start) <= 3
    assert alerts["Total"] == []
    assert [shift.is_worse for shift in shifts["f1", "Total"].shifts] == [False]
    assert [(start.run, start.alert) for start in level_starts(values)["Name"]] == [(ended.index(shift.since), alert)]


def test_a_last_value_beyond_its_bound_is_a_drop() -> None:
    runs = [run(number, 0.9 + 0.001 * (number % 3)) for number in range(8)] + [run(8, 0.8)]
    shifts = shifts_of(runs, [("f1", "Name"), ("f1", "Gone")], 0.01)
    drop = shifts["f1", "Name"].drop
    assert drop is not None
    assert (drop.start, drop.after) == (8, 0.8)
    assert shifts["f1", "Gone"].shifts == ()
    html, _ = history_page.history_page("receipts", runs, "f1", 0.01)
    assert "the last value is worse than the earlier ones let expect: 0.8000, with a mean of 0.9009 before" in html
