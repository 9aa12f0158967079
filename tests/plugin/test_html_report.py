"""`--model-report FILE.html`: a session with a case of each kind, and a machine without the extra."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import ROOT, TOKEN

if TYPE_CHECKING:
    from tests.plugin.conftest import Project, Server

LOW = {"f1": {"Name": 0.81, "Total": 0.97}}


def test_a_run_leaves_a_page_that_shows_it(served: Project, server: Server) -> None:
    served.write_tests(
        Good={"metrics": {"f1": {"Name": 0.9}}},
        Low={"metrics": {"f1": {"Name": 0.9, "Total": 0.95, "Tax": 0.5}}, "config": {"results": LOW}},
        Differs={"config": {"corrupt": "Name"}, "inference": {"documents": "all"}},
        Broken={"config": {"raise": "<b>no</b> labels"}},
        Away={"env": "away"},
    )
    served.write_environments(
        dogfood={"host": server.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}"},
        away={"host": "http://127.0.0.1:9", "path": ROOT, "token": TOKEN},
    )
    result = served.run("--model-report", "out/report.html", "-o", "ibmodels_startup_limit=1")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["model report: *out/report.html"])
    html = (served.pytester.path / "out/report.html").read_text(encoding="utf-8")
    assert '<h1 id="top">4 of 5 runs failed</h1>' in html
    for shown in (
        "\N{MINUS SIGN}0.0900 ✕",
        "the model has no such field; its fields are Name, Total",
        '<td class="text" data-label="At training"><bdi>Ada Lovelac<del>e</del></bdi></td>',
        "&lt;b&gt;no&lt;/b&gt; labels",
        "environment unavailable",
    ):
        assert shown in html
    assert "<b>no</b>" not in html


def test_without_the_extra_the_page_is_refused_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write_tests(Good={"env": "sandbox"})
    for name in [name for name in sys.modules if name.startswith("pytest_ibmodels.reports.html")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    result = project.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--model-report", "report.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --model-report FILE.html needs a package that is not installed (vl_convert): pip install 'pytest-ib*"]
    )
    assert "collected" not in result.stdout.str()


def test_a_run_without_a_page_imports_nothing_that_draws(project: Project) -> None:
    project.pytester.makepyfile(
        "import sys\ndef test_plain(): assert not {'jinja2', 'markupsafe', 'vl_convert'} & set(sys.modules)"
    )
    assert project.pytester.runpytest_subprocess("--model-report", "report.json").ret == 0
