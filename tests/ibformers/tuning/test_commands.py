"""Command line of the operations."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ibformers.service.cli import main
from tests.ibformers.tuning.conftest import REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    package = logging.getLogger("ibformers")
    handlers, level = package.handlers[:], package.level
    yield
    package.handlers[:] = handlers
    package.setLevel(level)


def test_all_of_them(models: Path, database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def run(command: str, *arguments: str, code: int = 0) -> Any:
        assert main([command, "--path", str(models), *arguments]) == code
        output = capsys.readouterr()
        log.append(output.err)
        return json.loads(output.out) if code == 0 else output.err.splitlines()[-1]

    log: list[str] = []
    model = ["--model-name", "tiny", "--num-labels", "5"]
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    trained = run("train", *model, "--database", database, "--request", f"@{tmp_path}/request.json")
    assert {"old", "new", "rows", "seconds", "waiting", "message"} <= trained.keys()
    assert "step 4 of 4" in log[-1]
    assert run("models")[0]["waiting"] == trained["version"]
    assert run("override", "--force", *model)["in_use"] == trained["version"]
    assert run("override", *model, code=1) == "No new model of tiny waits: send a train request first."
    question = json.dumps({"inputs": "This was a really bad experience"})
    assert run("predict", *model, "--request", question)[0]["label"] in trained["labels"]
    assert run("show", *model)["in_use"]["training"]["new"] == trained["new"]
    assert "there is none to discard" in run("discard", *model, code=1)
    assert "expected to be in use" in run("rollback", "--expected-in-use", "another", *model, code=1)
    before = run("rollback", *model)
    assert before["previous"] == trained["version"]
    assert run("models") == [
        {
            "model_name": "tiny",
            "in_use": before["in_use"],
            "folder": str(models / "tiny"),
            "waiting": None,
            "previous": trained["version"],
        }
    ]


def test_looking_up_what_a_request_may_name(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> Any:
        assert main(arguments) == 0
        return json.loads(capsys.readouterr().out)

    (table,) = run("tables", "--database", database)["tables"]
    described = run("tables", "--database", database, "--table", table)
    assert described["columns"] == [
        {"name": "ReviewLabel", "type": "INTEGER"},
        {"name": "ReviewText", "type": "TEXT"},
    ]
    assert (described["rows"], described["left_out"]) == (120, 0)
    assert run("batch-sizes", "--rows", "20", "--p-of-train", "0.5") == {"train": 3, "test": 3}
    named = {one["name"]: one for one in run("arguments")}
    assert named["num_train_epochs"]["default"] == "3.0"
    assert "square root" in named["per_device_train_batch_size"]["default"]
    assert "push_to_hub" not in named


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--request", "{"], "--request is not JSON: Expecting property name"),
        (["--request", "@none.json"], "--request @none.json: No such file"),
        (["--request", "{}"], "Train request: table is missing; columns is missing."),
        (["--request", "{}", "--set", "top_k"], "--set top_k: must be NAME=VALUE."),
        (
            ["--request", "{}", "--database", "${NOT_SET}"],
            "Setting database: the environment variable NOT_SET is not set.",
        ),
        (["--request", "{}", "--database", "postgresql+psycopg://me:s3cret@h/x"], "--database holds a password"),
        (["--request", "{}", "--database", "postgresql+psycopg://me:s3/cret@h/x"], "--database holds a password"),
        (["--request", "{}", "--database", "postgresql+psycopg://h/x?password=s3cret"], "--database holds a password"),
        (
            ["--request", "{}", "--database", "postgresql+psycopg://me:${P}@h@x/y"],
            "the URL has an @ in a wrong place",
        ),
        (["--request", "{}", "--database", "postgresql+psycopg://me:${P}@h:s3cret/y"], "not a SQLAlchemy URL"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBFORMERS_DATABASE", "sqlite:///none.db")
    monkeypatch.setenv("P", "p")
    assert main(["train", "--path", "x", "--model-name", "tiny", *arguments]) == 4
    output = capsys.readouterr()
    assert message in output.err
    assert "s3cret" not in output.err
    assert output.out == ""


def test_a_wrong_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train"])
    assert caught.value.code == 4
    assert "the following arguments are required: --path" in capsys.readouterr().err


def test_a_password_of_the_environment_is_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_bert: Path
) -> None:
    monkeypatch.setenv("PASSWORD", "s3cret")
    url = "postgresql+psycopg://me:${PASSWORD}@127.0.0.1:1/x"
    arguments = ["train", "--path", str(tmp_path), "--model-name", "m", "--base-model", str(tiny_bert)]
    assert main([*arguments, "--database", url, "--request", json.dumps(REQUEST)]) == 1
    output = capsys.readouterr().err
    assert "postgresql+psycopg://me:***@127.0.0.1:1/x cannot be read" in output
    assert "s3cret" not in output


def test_the_module_is_light_until_it_works() -> None:
    code = (
        "import ibformers.service.cli, sys; "
        "print([name for name in ('torch', 'transformers', 'sqlalchemy', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
