"""`ibmodels suggest`: what it prints, and what it writes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels import cli
from pytest_ibmodels.cli import suggest as command
from pytest_ibmodels.cli.history_access import NoHistory
from pytest_ibmodels.history.store import History
from tests.history.test_advice import noise, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_ibmodels.history.runs import StoredRun

MODEL_TESTS = """\
# Kept by Zoë.
.anchors:
  low: &low 0.2
T:
  env: [sandbox, dogfood]
  ibannotator: a/b/fs/Drive/x.ibannotator
  time_limit: 60
  metrics:
    f1: {Name: 0.50, Date: *low}   # typed in May
    loss: {max: 1}
Other:
  env: sandbox
  ibannotator: a/b/fs/Drive/x.ibannotator
  time_limit: 60
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model_tests.yaml").write_text(MODEL_TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[StoredRun]]:
    """Runs in place of the history's, by environment."""
    runs: dict[str, Sequence[StoredRun]] = {}

    def newest_runs(_test: str | None, last: int) -> list[StoredRun]:
        return [replace(run, environment=name) for name, several in runs.items() for run in [*several][-last:]]

    monkeypatch.setattr(command, "stored_runs", lambda _: newest_runs)
    return runs


@pytest.fixture
def suggest(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*arguments: str) -> tuple[int, str]:
        code = cli.main(["suggest", *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def rows(printed: str) -> dict[tuple[str, str, str], list[str]]:
    """Environment, metric and field → the other cells, of the lines of the table."""
    cells = [re.split("  +", line.strip()) for line in printed.splitlines() if line.startswith("  T  ")]
    return {(row[1], row[2], row[3]): row[4:] for row in cells}


def test_the_table_and_its_notes(runs: dict[str, Sequence[StoredRun]], suggest: Callable[..., tuple[int, str]]) -> None:
    runs["sandbox"] = stored(noise(30, 0.93, 1))
    code, printed = suggest()
    assert code == 0
    found = rows(printed)
    assert found["sandbox", "f1", "Name"] == [
        "30", "0.930", "0.006", "min", "0.5", "0 of 30", "< 0.1 %", "< 0.1 %", "0.91",
    ]  # fmt: skip
    assert found["dogfood", "f1", "Name"] == ["0", "-", "-", "min", "0.5", "-", "-", "-", "-"]
    assert found["sandbox", "loss", "all"] == ["0", "-", "-", "max", "1", "-", "-", "-", "-"]
    assert "T on sandbox, f1 Name: 0.5 lets most runs that are 5 points worse pass; 0.91 would fail" in printed
    assert "T on dogfood, f1 Name: too few runs for a proposal: 0 of at least 5" in printed


def test_write_changes_the_numbers_and_nothing_else(
    project: Path, runs: dict[str, Sequence[StoredRun]], suggest: Callable[..., tuple[int, str]]
) -> None:
    runs["sandbox"] = [*stored(noise(30, 0.93, 1)), *stored(noise(30, 0.3, 2), field="Date", first=30)]
    runs["dogfood"] = stored(noise(30, 0.88, 1))
    code, printed = suggest("T", "--write")
    assert code == 0
    text = (project / "model_tests.yaml").read_text(encoding="utf-8")
    assert text == MODEL_TESTS.replace("Name: 0.50", "Name: 0.86")
    assert "model_tests.yaml:9: T.metrics.f1.Name.min: 0.5 → 0.86" in printed
    refusal = "the number is part of an anchor that is used in more than one place"
    assert f"model_tests.yaml:3: T.metrics.f1.Date.min: not changed to 0.28: {refusal}" in printed
    assert "Name.min" not in suggest("--write")[1]


def test_a_file_that_cannot_be_written(
    project: Path,
    runs: dict[str, Sequence[StoredRun]],
    suggest: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, changes: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "edit_file", full)
    runs["sandbox"] = stored(noise(30, 0.93, 1))
    code, printed = suggest("--write")
    assert code == 1
    assert "model_tests.yaml is not changed: [Errno 28] No space left on device" in printed


def test_without_write_nothing_is_changed(
    project: Path, runs: dict[str, Sequence[StoredRun]], suggest: Callable[..., tuple[int, str]]
) -> None:
    runs["sandbox"] = stored(noise(30, 0.93, 1))
    suggest()
    assert (project / "model_tests.yaml").read_text(encoding="utf-8") == MODEL_TESTS


def test_only_what_is_asked_for(runs: dict[str, Sequence[StoredRun]], suggest: Callable[..., tuple[int, str]]) -> None:
    runs["sandbox"] = stored(noise(30, 0.93, 1))
    printed = suggest("--env", "sandbox", "--last", "7")[1]
    assert {environment for environment, _, _ in rows(printed)} == {"sandbox"}
    assert rows(printed)["sandbox", "f1", "Name"][0] == "7"
    assert suggest("Other") == (0, "no model test has a minimum or a maximum: there is nothing to suggest\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["U"], "ERROR: TEST 'U': no such model test; known are: T, Other"),
        (["--env", "prod"], "ERROR: --env 'prod': no model test uses it; used are: sandbox, dogfood"),
        (["--last", "0"], "'--last': Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_meant(
    runs: dict[str, Sequence[StoredRun]],
    suggest: Callable[..., tuple[int, str]],
    arguments: list[str],
    message: str,
) -> None:
    code, printed = suggest(*arguments)
    assert code == 4
    assert message in printed


def test_an_invalid_file(
    project: Path, runs: dict[str, Sequence[StoredRun]], suggest: Callable[..., tuple[int, str]]
) -> None:
    (project / "model_tests.yaml").write_text(MODEL_TESTS.replace("time_limit: 60", "time_limits: 60"))
    code, printed = suggest()
    assert code == 4
    assert "model_tests.yaml:7:3: " in printed
    (project / "model_tests.yaml").write_text("")
    assert suggest()[1] == ("ERROR: this project has no model tests: there is no model_tests.yaml, or it is empty\n")


def test_a_history_that_cannot_be_read(
    project: Path, suggest: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_test: str | None, _last: int) -> Sequence[StoredRun]:
        raise NoHistory("the history is locked")

    monkeypatch.setattr(command, "stored_runs", lambda _: unreadable)
    assert suggest("--write") == (1, "the history is locked\n")


def test_files_of_model_tests_are_found_where_pytest_looks(
    project: Path, runs: dict[str, Sequence[StoredRun]], suggest: Callable[..., tuple[int, str]]
) -> None:
    text = (project / "model_tests.yaml").read_text(encoding="utf-8")
    for folder, name in (("deep/er", "U"), (".hidden", "V"), ("node_modules", "W"), ("env", "X")):
        (project / folder).mkdir(parents=True)
        (project / folder / "model_tests.yml").write_text(text.replace("\nT:", f"\n{name}:"), encoding="utf-8")
    (project / "env" / "pyvenv.cfg").write_text("")
    printed = suggest("Y")[1]
    assert "known are: T, Other, U, Other" in printed


def test_the_history_is_opened_once_for_all_model_tests(
    project: Path, suggest: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{project / 'runs.db'}"
    runs = [replace(run, project=project.name) for run in stored(noise(30, 0.93, 1))]
    with History.open(url) as history:
        history.add(*runs, *(replace(run, id=f"d{run.id[1:]}", environment="dogfood") for run in runs))
    opened: list[str] = []
    real = History.open

    def count(url: str) -> History:
        opened.append(url)
        return real(url)

    monkeypatch.setattr(History, "open", count)
    monkeypatch.setenv("IBMODELS_HISTORY", url)
    found = rows(suggest("--last", "20")[1])
    assert [found[name, "f1", "Name"][0] for name in ("sandbox", "dogfood")] == ["20", "20"]
    assert opened == [url]
