"""Projects that `ibmodels init` writes: complete, valid, and never over what is there.

tests/test_distribution.py runs one.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pytest_ibmodels import cli, spec
from pytest_ibmodels.cli.init import Kind

ROOT = Path(__file__).parents[2]
COMMON = {
    *("model_tests.yaml", "environments.yaml", "pyproject.toml", "requirements.txt", ".gitignore"),
    *(".github/workflows/model-tests.yml", ".vscode/settings.json"),
    *("schemas/model_tests.schema.json", "schemas/environments.schema.json"),
}
OWN = {
    Kind.SCRIPT: {"mytrainer/__init__.py", "tests/test_mytrainer.py", "reviews.csv"},
    Kind.TABLE: {"reviews.db"},
    Kind.DOCUMENTS: set[str](),
}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", Kind)
def test_a_project_is_complete_and_valid(
    kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", f"--{kind}", "new/project"]) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "new" / "project"
    assert files(folder) == COMMON | OWN[kind]
    assert [name for name in files(folder) if f"  {name}" not in out] == []
    assert out.endswith("next:\n  cd new/project\n  pytest\n")
    assert spec.check(folder / "model_tests.yaml", folder / "environments.yaml") == []
    (environment,) = spec.load_environments(folder / "environments.yaml").environments.values()
    resolved = environment.resolve({})
    if kind is Kind.TABLE:
        with closing(sqlite3.connect(folder / "reviews.db")) as database:
            assert database.execute("SELECT count(*), count(DISTINCT ReviewLabel) FROM Review").fetchone() == (200, 5)
        assert resolved.database is not None
        assert resolved.database.get_secret_value().endswith("/new/project/reviews.db")
    for name in json.loads((folder / ".vscode" / "settings.json").read_text())["yaml.schemas"]:
        assert (folder / name).read_text() == (ROOT / name).read_text()


def test_the_workflow_is_valid_and_reads_what_is_there(tmp_path: Path) -> None:
    assert cli.main(["init", str(tmp_path)]) == 0
    workflow = tmp_path / ".github" / "workflows" / "model-tests.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "pip install -r requirements.txt" in workflow.read_text()


def test_nothing_is_written_where_a_file_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "mytrainer").write_text("a file where a folder goes")
    assert cli.main(["init", str(tmp_path)]) == pytest.ExitCode.USAGE_ERROR
    assert capsys.readouterr().err.startswith(
        f"ERROR: {tmp_path}: nothing was written, because these files exist: pyproject.toml, mytrainer; move them away"
    )
    assert files(tmp_path) == {"pyproject.toml", "mytrainer"}
    assert cli.main(["init", str(tmp_path / "mytrainer")]) == pytest.ExitCode.USAGE_ERROR
    assert capsys.readouterr().err == f"ERROR: {tmp_path}/mytrainer: this is not a folder; name another one\n"


def test_a_folder_that_cannot_be_written_stays_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "schemas").symlink_to("/proc/1/nothing")
    (tmp_path / "new" / "tests").symlink_to("/proc/self")  # a folder without room for files, also for root
    assert cli.main(["init", "--script", str(tmp_path / "new")]) == pytest.ExitCode.USAGE_ERROR
    assert "schemas" in capsys.readouterr().err
    (tmp_path / "new" / "schemas").unlink()
    assert cli.main(["init", "--script", str(tmp_path / "new")]) == pytest.ExitCode.USAGE_ERROR
    assert "/tests/test_mytrainer.py: cannot be written: " in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["tests"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.TABLE, Kind.DOCUMENTS])
def test_a_project_that_trains_ibformers_passes(kind: Kind, tmp_path: Path) -> None:
    assert cli.main(["init", f"--{kind}", str(tmp_path)]) == 0
    done = subprocess.run([sys.executable, "-m", "pytest"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout
