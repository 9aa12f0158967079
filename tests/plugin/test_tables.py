"""Model tests on a database table: rows trained on, the model in use compared and promoted, a password kept."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import ROOT as SOURCES
from tests.plugin.conftest import ROOT, TOKEN, Project, Server
from tests.plugin.hundreds import sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.pytester import RunResult

    from tests.plugin.forked import ForkServer

PASSWORD = "hunter2-of-the-database"
ROWS = [(1, "an awful dress"), (2, "a fine dress"), (3, "a superb dress"), (2, "fine, fine")]


class Tables:
    """A project whose environment has a database with a password, and the folder of models behind it."""

    def __init__(self, project: Project, server: Server, folder: Path) -> None:
        self._project = project
        self.server = server
        with contextlib.closing(sqlite3.connect(folder / "reviews.db")) as database:
            database.execute("CREATE TABLE Review (Stars INTEGER, Words TEXT)")
            database.executemany("INSERT INTO Review VALUES (?, ?)", ROWS)
            database.commit()
        url = f"sqlite:///{folder}/reviews.db?password=${{REVIEWS_PASSWORD}}"
        entry: dict[str, object] = {"host": server.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}", "database": url}
        project.write_environments(dogfood=entry)

    def run(self, *options: str, **entries: dict[str, Any]) -> RunResult:
        table = {"ibannotator": None, "table": "Review", "columns": "Stars,Words", "inference": {"documents": "all"}}
        self._project.write_tests(**{name: {**table, **entry} for name, entry in entries.items()})
        file = self._project.pytester.path / "model_tests.yaml"
        file.write_text(file.read_text().replace("  ibannotator: null\n", ""))
        result = self._project.run(*options)
        assert PASSWORD not in result.stdout.str() + result.stderr.str()
        return result

    def in_use(self, name: str) -> float | None:
        """How good the model in use is; None if there is none."""
        file = self.server.data / "models" / f"{name}.json"
        return float(json.loads(file.read_text())["f1"]) if file.exists() else None


@pytest.fixture
def tables(served: Project, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tables:
    monkeypatch.setenv("REVIEWS_PASSWORD", PASSWORD)
    return Tables(served, server, tmp_path)


def test_nothing_is_replaced_until_it_is_asked_for_and_only_by_what_passed(tables: Tables) -> None:
    good = {
        "metrics": {"accuracy": 0.5, "f1": {"weighted avg": 0.5, "1": 0.9}},
        "config": {"f1": 0.9},
        "better_than_current": True,
    }
    low = {"metrics": {"accuracy": 0.95, "f1": {"weighted avg": 0.5}}, "config": {"f1": 0.9}}
    other = {"config": {"words": {"awful": "5"}}}

    result = tables.run("-q", Good=good)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "  accuracy  all *0.9000 *0.5000 *+0.4000",
            "  f1 *weighted avg *0.9000 *0.5000 *",
            "Good on dogfood: served; 4 fields of 4 documents match training (*",
            "  better_than_current: no model of this name is in use yet, so none was compared",
        ]
    )
    assert tables.in_use("Good") is None

    result = tables.run("--promote", Good=good, Low=low, Other=other)
    result.assert_outcomes(passed=3, failed=2, skipped=1)
    result.stdout.fnmatch_lines(["  promoted: Good is now version Good_*."])
    result.stdout.fnmatch_lines(["*metrics: 1 of 2 metrics did not reach the minimum"])
    result.stdout.fnmatch_lines(["  accuracy  all *0.9500 *0.9000  too low by 0.0500"])
    result.stdout.fnmatch_lines(
        ["*predictions differ: 1 of 4 fields differ from training", "*document row-0", "*'1'*'5'"]
    )
    assert [tables.in_use(name) for name in ("Good", "Low", "Other")] == [0.9, None, None]
    assert tables.server.left_over() == []


def test_the_model_in_use_has_to_be_reached(tables: Tables) -> None:
    first = {"config": {"f1": 0.9}}
    tables.run("--promote", Stars=first, Drop=first).assert_outcomes(passed=4)

    worse = {"config": {"f1": 0.85}, "better_than_current": True}
    drop = {"config": {"f1": 0.85}, "better_than_current": {"max_drop": 0.06}}
    result = tables.run("--promote", Stars=worse, Drop=drop)
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*metrics: 1 of 1 metrics did not reach the minimum",
            "  better_than_current  f1 weighted avg *0.9000 *0.8500  too low by 0.0500",
        ]
    )
    result.stdout.fnmatch_lines(["  better_than_current  f1 weighted avg *0.8500 *0.8400  +0.0100"])
    assert (tables.in_use("Stars"), tables.in_use("Drop")) == (0.9, 0.85)


def test_a_column_that_decides_on_the_sides_goes_to_the_training(tables: Tables) -> None:
    told = {"config": {"raise": "Oh"}}
    result = tables.run(By=told | {"group_column": "Author"}, Said=told | {"split_column": "Part"}, Text=told)
    result.assert_outcomes(failed=3, skipped=3)
    for sides in (" group_column Author", " split_column Part", ""):
        result.stdout.fnmatch_lines([f"*training failed: *RuntimeError: Oh sqlite:///*password=[*][*][*]{sides}"])


def test_a_drop_of_exactly_as_much_as_is_allowed_passes(tables: Tables) -> None:
    tables.run("--promote", Stars={"config": {"f1": 0.8}}).assert_outcomes(passed=2)
    result = tables.run(Stars={"config": {"f1": 0.7}, "better_than_current": {"max_drop": 0.1}})
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["  better_than_current  f1 weighted avg *0.7000 *0.7000  +0.0000"])
    result.stdout.fnmatch_lines(["  better_than_current: *two values were compared, which may differ by chance"])


def test_rows_decide_where_they_are_compared_and_what_they_leave_open_is_said(tables: Tables, tmp_path: Path) -> None:
    tables.run("--promote", Ok={"config": {"f1": 0.8}}, Open={"config": {"f1": 0.8}}).assert_outcomes(passed=4)
    bad: list[object] = ["good", {"rows": "many"}, comparison(0.0) | {"f1": {"low": None}}]
    entries: dict[str, dict[str, Any]] = {
        "Ok": compared(comparison(-0.005, half=0.004)),
        "Open": compared(comparison(-0.005, half=0.02)),
        "Closed": compared(comparison(-0.005, half=0.02), undecided="fail"),
        "Worse": compared(comparison(-0.05, half=0.02)),
        "Few": compared(comparison(0.0, half=0.0, rows=12, reason="Most test rows were learned before.")),
        **{f"Bad{number}": compared(one) for number, one in enumerate(bad)},
    }
    result = tables.run(f"--model-report={tmp_path / 'report.json'}", f"--junitxml={tmp_path / 'junit.xml'}", **entries)
    result.assert_outcomes(passed=6, failed=5, skipped=5)
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*warnings summary*")
    warning = (
        "  warning: better_than_current is undecided: on 380 rows the F1 (weighted avg) is 0.7950, and 0.8000 for "
        "the model in use: a difference of -0.0050 (90% interval -0.0250 to +0.0150), where a drop of 0.0100 is "
        "allowed; *; about "
        "6,080 rows would decide it; 20 more test rows were left out, as the model in use has learned them"
    )
    result.stdout.fnmatch_lines([warning])
    result.stdout.fnmatch_lines(
        [
            "  better_than_current  f1 weighted avg *0.7900 *0.7500  too low by 0.0400",
            "*rows that got worse*",
            "*17*'2'*",
        ]
    )
    result.stdout.fnmatch_lines(["*is undecided: Most test rows were learned before; *at least 30 rows are needed*"])
    result.stdout.fnmatch_lines(
        ['*the comparison that the training reported cannot be read: it is "good", not an object']
    )
    runs = {one["test"]: one["training"] for one in json.loads((tmp_path / "report.json").read_text())["runs"]}
    verdicts = {name: training["comparison"] and training["comparison"]["verdict"] for name, training in runs.items()}
    decided = {"Ok": "holds", "Open": "undecided", "Closed": "undecided", "Worse": "fails", "Few": "undecided"}
    assert verdicts == decided | dict.fromkeys(("Bad0", "Bad1", "Bad2"))
    assert runs["Open"]["comparison"]["rows_to_decide"] == 6080
    assert 'name="comparison.verdict" value="undecided"' in (tmp_path / "junit.xml").read_text()


def comparison(difference: float, half: float = 0.0, **changed: Any) -> dict[str, Any]:
    """Comparison of two models on the same rows, as a training reports it."""
    both = {"old": 0.8, "new": 0.8 + difference, "difference": difference}
    both |= {"low": difference - half, "high": difference + half}
    known = {"rows": 380, "learned": 20, "reason": "", "confidence": 0.9, "accuracy": dict(both), "f1": dict(both)}
    known |= {"only_old_right": 6, "only_new_right": 5}
    known["worse"] = [{"row": 17, "text": "a superb dress", "label": "3", "old": "3", "new": "2"}]
    return known | changed


def compared(reported: object, **better: str) -> dict[str, Any]:
    return {"config": {"report": {"comparison": reported}}, "better_than_current": {"max_drop": 0.01, **better}}


def test_a_label_that_no_test_row_has_is_told_as_that(tables: Tables) -> None:
    part = {"unit": "rows", "count": 4, "fingerprint": "0123456789abcdef", "seed": 42, "split": "text"}
    part |= {"duplicates": 0, "labels_without_test_rows": ["odd two"]}
    intervals = {"accuracy": [0.4, 0.9], "f1": {"1": [0.4, 0.9]}}
    config = {"f1": 0.8, "report": {"test_part": part, "evaluation_intervals": intervals}}
    result = tables.run(
        Rare={"config": config, "metrics": {"f1": {"odd two": 0.5}}},
        Known={"config": config, "metrics": {"accuracy": 0.5, "f1": {"1": {"min": 0.1, "max": 0.9}}}},
    )
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["  f1  * odd two * none of the 4 test rows has this label, so nothing was measured: *"]
    )
    result.stdout.fnmatch_lines(
        [
            "  accuracy  all  *0.8000 *0.5000 *-  +0.3000  0.40 to 0.90: the minimum lies within, about 8 rows *",
            "  f1        1  *0.8000 *0.1000 *0.9000  +0.1000  0.40 to 0.90",
            "  tested on 4 rows (split by text, seed 42, fingerprint 0123456789abcdef); without any row of 'odd two'",
        ]
    )


def test_a_promotion_that_is_refused_fails_the_test(tables: Tables) -> None:
    code = f"""
        import json, pytest
        @pytest.hookimpl
        def pytest_ibmodels_verdict(config, run, phase):
            with open({str(tables.server.data / "models" / "Slow.json")!r}, "w") as file:
                json.dump({{"version": "of somebody else", "f1": 0.1}}, file)
    """
    tables._project.pytester.makeconftest(code)
    result = tables.run("--promote", Slow={"config": {"f1": 0.7}})
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*promotion failed: the model was not promoted: *another model is in use by now"])
    assert tables.in_use("Slow") == 0.1


def test_a_model_that_is_certainly_worse_is_promoted_only_by_an_option_of_its_own(tables: Tables) -> None:
    worse = {"config": {"f1": 0.7, "worse": True}}
    result = tables.run("--promote", Worse=worse)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*promotion failed: the model was not promoted: *the new model is certainly worse"])
    assert tables.in_use("Worse") is None
    tables.run("--promote", "--promote-worse", Worse=worse).assert_outcomes(passed=2)
    assert tables.in_use("Worse") == 0.7


def test_promoting_what_is_worse_alone_is_refused(tables: Tables) -> None:
    result = tables.run("--promote-worse", Good={})
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --promote-worse: goes with --promote, *"])


def test_the_password_of_a_database_is_nowhere(tables: Tables, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = tables.run(
        *("-vv", "-l", "--log-level=DEBUG", f"--junitxml={tmp_path / 'junit.xml'}", f"--model-report={report}"),
        Loud={"config": {"raise": "Oh"}},
        Quiet={},
    )
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*training failed: *RuntimeError: Oh sqlite:///*reviews.db[?]password=[*][*][*]"])
    assert "in sqlite:///" in report.read_text()  # the job's log, which tells of the database
    written = [file for folder in (tmp_path, tables.server.data) for file in folder.rglob("*") if file.is_file()]
    for file in written:
        assert PASSWORD.encode() not in file.read_bytes(), file
    assert any(file.name == "log.txt" for file in written)
    assert TOKEN not in report.read_text()


def test_a_model_is_tuned_promoted_and_compared_on_postgresql(
    pytester: pytest.Pytester,
    fork_server: ForkServer,
    postgresql: str,
    tiny_bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(SOURCES / "ibformers", pytester.path / "ibformers", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makeini("[pytest]\n")
    monkeypatch.setenv("DOGFOOD_TOKEN", TOKEN)
    monkeypatch.setenv("REVIEWS", postgresql)
    config: dict[str, object] = {
        "base_model": str(tiny_bert),
        "num_labels": 5,
        "learning_rate": 0.01,
        "num_train_epochs": 8,
    }
    entry: dict[str, object] = {"env": "dogfood", "table": "iris.Review"}
    entry |= {"columns": "ReviewLabel,ReviewText", "limit": 120, "p_of_train": 0.8, "time_limit": 120}
    entry |= {"config": config, "metrics": {"accuracy": 0.5, "f1": {"5": 0.5}}, "inference": {"documents": "all"}}
    entry |= {"better_than_current": {"max_drop": 0.9}}
    (pytester.path / "model_tests.yaml").write_text(yaml.safe_dump({"Stars": entry}))
    with sandbox(tmp_path / "sandbox", max_jobs=1, token=TOKEN, preload=True) as server:
        project = Project(pytester, fork_server)
        project.write_environments(
            dogfood={"host": server.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}", "database": "${REVIEWS}"}
        )
        first = project.run("--promote")
        first.assert_outcomes(passed=2)
        first.stdout.fnmatch_lines(
            ["  better_than_current: no model of this name *", "  promoted: Stars is now version *"]
        )
        again = project.run()
        again.assert_outcomes(passed=2)
        again.stdout.fnmatch_lines(["*served; * fields of * documents match training*"])
        again.stdout.fnmatch_lines(["  better_than_current  f1 weighted avg *"])
        assert server.left_over() == []


def test_repeats_compare_and_promote_the_first_model(tables: Tables) -> None:
    tables.run("--promote", Stars={"config": {"f1": 0.9}}).assert_outcomes(passed=2)
    config = {"f1": 0.92, "by_seed": {"43": {"f1": 0.5}}}
    entry = {"config": config, "metrics": {"accuracy": 0.7}, "better_than_current": True, "repeats": 2}
    result = tables.run("--promote", Stars=entry)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "  accuracy             all              0.7100 ± 0.2970 *0.7000 *0.9200, 0.5000",
            "  better_than_current  f1 weighted avg *0.9200 *0.9000 *",
            "  better_than_current and inference use the model of the first repeat (seed 42)",
            "  noisy: 1 of 2 repeats passes; accuracy falls on both sides of its minimum of 0.7000 (*)",
        ]
    )
    assert tables.in_use("Stars") == 0.92
