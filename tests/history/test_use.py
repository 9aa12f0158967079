"""A team's use of the history: pytest adds to it, `ibmodels history` shows it, and faults cost a line, no verdict."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.history.store import History
from tests.history.conftest import Documents, Sinking, git, history_of
from tests.plugin.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rows(printed: str) -> list[list[str]]:
    """Cells of the lines of the table, without its header."""
    header, *lines = (line for line in printed.splitlines() if line.startswith("  "))
    assert re.split("  +", header.strip())[:2] == ["model test", "environment"]
    return [re.split("  +", line.strip()) for line in lines if not line.startswith("  Receipts on ")]


def test_fourteen_runs_that_sink_are_seen(
    documents: Documents, ibmodels: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = documents.folder
    code, out, _ = ibmodels("history")
    assert (code, "has no runs yet" in out) == (0, True)
    assert not history_of(documents.sinking.project).exists()

    alerted: list[tuple[int, str]] = []
    for number in range(14):
        result = documents.run(96 - number, *(("-n1",) if number == 5 else ()))
        result.assert_outcomes(passed=2)
        assert "history" not in result.stdout.str()
        alerted += [(number, line) for line in result.outlines if line.startswith("trend:")]
        if number == 0:
            git(folder, "tag", "v1")
            git(folder, "commit", "-q", "--allow-empty", "-m", "second")
    ((number, line),) = [(number, line) for number, line in alerted if "stays so" in line]
    assert number == 11
    assert line.startswith("trend: Receipts on dogfood: exact_match of Name got worse and stays so: 0.9")

    code, out, _ = ibmodels("history")
    assert code == 0
    ((*name, last, change, minimum),) = rows(out)
    assert name == ["Receipts", "dogfood", "exact_match", "Name", "14", "█▇▇▆▆▅▅▄▄▃▃▂▂▁"]
    assert (last, change, minimum) == ("0.8300", "-0.0700", "0.5000")
    code, out, _ = ibmodels("history", "Receipts", "--env", "dogfood", "--metric", "exact_match", "--last", "3")
    assert [row[4] for row in rows(out)] == ["3"]
    assert ibmodels("history", "Receipt")[0] == 4
    assert "known are: dogfood" in ibmodels("history", "--env", "prod")[2]
    assert "known are: exact_match" in ibmodels("history", "--metric", "f2")[2]

    assert ibmodels("history", "--html", "history.html")[0] == 0
    page = " ".join((folder / "history.html").read_text().split())
    assert "got worse and stays so: 0.9" in page
    assert "<svg" in page

    # The minimum was set long ago. What the advice rests on is the level before the model sank.
    code, out, _ = ibmodels("suggest")
    assert code == 0
    assert "0.5 lets most runs that are 5 points worse pass" in " ".join(out.split())
    result = documents.run(83, "--model-baseline=tag:v1", "-m", "training")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        ["*baseline: 1 of 1 metrics worse than tag v1", "*exact_match  Name   0.8300    0.9600*worse"]
    )

    with History.open(f"sqlite:///{history_of(documents.sinking.project)}") as history:
        runs = history.runs(folder.name)
    assert {(run.test, run.environment, run.package) for run in runs} == {("Receipts", "dogfood", "tiny")}
    assert [run.verdict for run in runs] == ["passed"] * 14 + ["failed"]
    assert all(run.seconds is not None and run.hardware and run.memory for run in runs)
    assert len({run.config_hash for run in runs}) == len({run.content_hash for run in runs}) == 1

    code, out, err = ibmodels("history", "export", str(tmp_path / "history.jsonl"))
    assert (code, err) == (0, "exported 15 runs\n")
    history_of(documents.sinking.project).unlink()
    for expected in ("imported 15 runs; 0 known already\n", "imported 0 runs; 15 known already\n"):
        assert ibmodels("history", "import", str(tmp_path / "history.jsonl"))[::2] == (0, expected)
    assert rows(ibmodels("history")[1])[0][4] == "15"


def test_a_changed_config_starts_a_new_series(sinking: Sinking, ibmodels: Callable[..., tuple[int, str, str]]) -> None:
    sinking.run(0.9)
    sinking.write_tests(seed=7)
    sinking.run(0.9, "-m", "training")
    out = ibmodels("history", "--metric", "f1")[1]
    assert [row[4] for row in rows(out)] == ["1"] * 4
    assert re.search(r"  Receipts on dogfood, f1 Name: new series from 20.* UTC: the config changed", out)
    with History.open(f"sqlite:///{history_of(sinking.project)}") as history:
        assert [run.seed for run in history.runs(sinking.project.pytester.path.name)] == [None, 7]


def test_what_failed_is_stored_and_what_did_not_end_is_not(sinking: Sinking) -> None:
    sinking.run(0.5).assert_outcomes(failed=1, skipped=1)
    sinking.write_tests(None, **{"raise": "out of memory"})
    sinking.run(0.9).assert_outcomes(failed=1, skipped=1)
    with History.open(f"sqlite:///{history_of(sinking.project)}") as history:
        (run,) = history.runs(sinking.project.pytester.path.name)
    assert (run.verdict, run.metrics[0].value, run.metrics[0].minimum) == ("failed", 0.5, 0.8)


def test_every_attempt_of_a_rerun_is_stored(sinking: Sinking) -> None:
    sinking.run(0.5, "--reruns", "1", "-p", "rerunfailures")
    with History.open(f"sqlite:///{history_of(sinking.project)}") as history:
        assert len(history.runs(sinking.project.pytester.path.name)) == 2


def test_git_and_ci_are_part_of_a_run(sinking: Sinking, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sinking.project.pytester.path
    (folder / "pyproject.toml").write_text('[project]\nname = "acme-receipts"\n')
    git = ("git", "-c", "user.name=me", "-c", "user.email=me@example.org")
    for command in (["init", "-q", "-b", "feature/ü"], ["add", "model_tests.yaml"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    sinking.run(0.9)
    sinking.write_tests(seed=7)
    for name, value in {
        "GITHUB_HEAD_REF": "theirs",
        "GITHUB_RUN_ID": "7",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/receipts",
    }.items():
        monkeypatch.setenv(name, value)
    sinking.run(0.9)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    with History.open(f"sqlite:///{history_of(sinking.project)}") as history:
        first, second = history.runs("acme-receipts")
    assert (first.commit, first.branch, first.is_dirty, first.ci_run) == (commit.stdout.strip(), "feature/ü", False, "")
    assert (second.commit, second.branch, second.is_dirty) == (first.commit, "theirs", True)
    assert second.ci_run == "https://github.com/acme/receipts/actions/runs/7"


@pytest.mark.parametrize("options", [(), ("-n1",)], ids=["one process", "workers"])
def test_a_history_that_cannot_be_used_costs_one_line(
    sinking: Sinking, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "hunter2-of-the-history"
    monkeypatch.setenv("IBMODELS_HISTORY", f"postgresql+psycopg://me:{password}@127.0.0.1:1/none")
    for f1, code in ((0.9, 0), (0.5, 1)):
        result = sinking.run(f1, *options)
        assert result.ret == code
        result.stdout.fnmatch_lines(
            ["history: this session's runs are not stored: the history postgresql+psycopg://me:[*][*][*]@127.0.0.1:1/*"]
        )
        assert len([line for line in result.outlines if "not stored" in line]) == 1
        assert password not in result.stdout.str() + result.stderr.str()


def test_none_keeps_no_history_and_the_setting_takes_a_file(
    sinking: Sinking, ibmodels: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sinking.run(0.9, "-o", "ibmodels_history=sqlite:///runs.db")
    assert (sinking.project.pytester.path / "runs.db").exists()
    monkeypatch.setenv("IBMODELS_HISTORY", "none")
    sinking.run(0.9, "-o", "ibmodels_history=sqlite:///runs.db").assert_outcomes(passed=2)
    assert not history_of(sinking.project).exists()
    assert ibmodels("history") == (
        1,
        "",
        "this project keeps no history: ibmodels_history, or the variable IBMODELS_HISTORY, is none\n",
    )
    with sqlite3.connect(sinking.project.pytester.path / "runs.db") as database:
        assert database.execute("select count(*) from ibmodels_runs").fetchone() == (1,)
    database.close()


def test_without_the_extra_one_line_says_so(
    sinking: Sinking, ibmodels: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (sinking.project.pytester.path / "conftest.py").write_text("import sys\nsys.modules['sqlalchemy'] = None\n")
    sinking.file.write_text(json.dumps({"f1": {"Name": 0.9}}))
    # A process of its own, as that of the tests has imported SQLAlchemy.
    result = sinking.project.pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)
    lines = [line for line in result.outlines if line.startswith("history")]
    (line,) = lines
    assert line.startswith("history: not kept, as sqlalchemy is not installed: pip install 'pytest-ibmodels[history]'")
    monkeypatch.delitem(sys.modules, "pytest_ibmodels.history.store")
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.setattr("pytest_ibmodels.history.store", None, raising=False)
    code, _, err = ibmodels("history")
    assert (code, err) == (
        1,
        "the history needs sqlalchemy, which is not installed: pip install 'pytest-ibmodels[history]'\n",
    )


def test_a_run_without_model_tests_imports_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_plain():\n"
        "    heavy = {'sqlalchemy', 'numpy', 'scipy', 'pytest_ibmodels.history'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert TOKEN not in result.stdout.str()
