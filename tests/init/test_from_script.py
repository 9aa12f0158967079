"""Diffs that make trainers of scripts: what they change, that they apply, and that the outcome trains."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from ibformers.sdk.testing import check_trainer
from pytest_ibmodels import cli

SCRIPTS = Path(__file__).parent / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.txt"))
MAILS = [("win money now", "spam"), ("lunch on monday", "ham"), ("cheap money", "spam"), ("your report", "ham")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def convert(folder: Path, name: str, source: str) -> str:
    """Write a script, and return what its patch makes of it."""
    (folder / f"{name}.py").write_text(source, newline="")
    assert cli.main(["init", "--from-script", f"{name}.py", "--patch", f"{name}.patch"]) == 0
    subprocess.run(["/usr/bin/env", "git", "apply", f"{name}.patch"], cwd=folder, check=True)
    return (folder / f"{name}.py").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_patch_is_as_expected_and_applies(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = convert(folder, name, (SCRIPTS / f"{name}.txt").read_text())
    compile(made, name, "exec")
    patch = (folder / f"{name}.patch").read_text()
    assert patch == (SCRIPTS / f"{name}.patch").read_text()
    (folder / f"{name}.py").write_text((SCRIPTS / f"{name}.txt").read_text())
    capsys.readouterr()
    assert cli.main(["init", "--from-script", f"{name}.py"]) == 0
    assert capsys.readouterr().out == patch


def test_a_converted_script_trains_as_it_stands(folder: Path) -> None:
    convert(folder, "sklearn_mails", (SCRIPTS / "sklearn_mails.txt").read_text())
    rows = [f"{text} {number},{label}" for text, label in MAILS for number in range(20)]
    (folder / "mails.csv").write_text("\n".join(["text,label", *rows]))
    train = importlib.import_module("sklearn_mails").train
    checked = check_trainer(train, data="mails.csv", config={"ngrams": 1}, inference=False)
    assert checked.metrics.keys() == {"accuracy", "macro_f1"}
    assert checked.metrics["accuracy"] > 0.9
    del sys.modules["sklearn_mails"]


@pytest.mark.parametrize(
    ("source", "there"),
    [
        # What a caller gave as arguments, and what the function has as defaults.
        (
            (
                "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
                "p.add_argument('name')\ndef main(lr, name, fast=False):\n    print(lr)\n"
                "args = p.parse_args()\nmain(args.lr, name=args.name)\n"
            ),
            ["    fast = False", '    lr = job.config.get("lr", 0.1)', '    name = job.config["name"]'],
        ),
        # A block that does more than to call one function stays together.
        (
            (
                "import argparse\ndef run(args):\n    test_acc = 1\n    return test_acc\n"
                "if __name__ == '__main__':\n    p = argparse.ArgumentParser()\n    args, rest = p.parse_known_args()\n"
                "    print('begins')\n    accuracy = run(args)\n"
            ),
            ["    rest = []", "    accuracy = run(args)", '    return Result(metrics={"accuracy": accuracy})'],
        ),
        # No argparse at all.
        ("def main():\n    scores = {'f1': 1}\nmain()\n", ["def train(job: Job) -> Result:", "metrics=scores)"]),
        # A function that makes the parser, and a global that only the command line sets.
        (
            (
                "import argparse\ndef parser():\n    it = argparse.ArgumentParser()\n    it.add_argument('--no-gpu', "
                "action='store_false', dest='gpu')\n    it.add_argument('-n', action='count')\n    return it\n"
                "def main():\n    print(OPTIONS.gpu)\nif __name__ == '__main__':\n    OPTIONS = parser().parse_args()\n"
                "    main()\n"
            ),
            ['gpu=job.config.get("gpu", True),', 'n=job.config.get("n", None),  # TODO: argparse\'s count'],
        ),
        # A function that adds arguments, two switches of one name, tabs, ends of lines of Windows, no end of the last.
        (
            (
                "import argparse\r\ndef add(parser):\r\n\tparser.add_argument('--gpu', action='store_true')\r\n"
                "\tparser.add_argument('--cpu', dest='gpu', action='store_false')\r\n"
                "parser = argparse.ArgumentParser()\r\nadd(parser)\r\nargs = parser.parse_args()\r\n"
                "if args.gpu:\r\n\tprint('a\x0cb')"
            ),
            ['        gpu=job.config.get("gpu", False),', "    \tprint('a\x0cb')", "    return Result("],
        ),
    ],
)
def test_every_way_to_pass_arguments_is_kept(source: str, there: list[str], folder: Path) -> None:
    made = convert(folder, "script", source)
    compile(made, "script", "exec")
    assert [line for line in there if line not in made] == [], made
    assert "parse_" not in made
    assert made.count("@trainer") == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def main(:\n", "script.py:1: this is not Python: invalid syntax"),
        ("import os\n", "script.py: this script runs nothing and calls no function: name the one that trains"),
        ("from ibformers.sdk import trainer\n", "script.py: this script imports ibformers.sdk already"),
        ("def main(): print(1)\nmain()\n", "script.py:1: write the body of main() on lines of its own"),
        ("caf\xe9", "script.py: the script is not in UTF-8 (byte 3)"),
    ],
)
def test_what_cannot_be_a_trainer_is_one_sentence(
    source: str, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "script.py").write_bytes(source.encode("latin-1"))
    assert cli.main(["init", "--from-script", "script.py"]) == pytest.ExitCode.USAGE_ERROR
    assert capsys.readouterr().err.startswith(f"ERROR: {told}")


def test_no_patch_is_overwritten_and_options_go_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "script.py").write_text("def main():\n    pass\nmain()\n")
    (folder / "there").write_text("mine")
    for arguments, told in {
        ("--from-script", "script.py", "--patch", "there"): "there: exists already; name another file",
        ("--from-script", "none.py"): "none.py: cannot be read: No such file or directory",
        ("--patch", "new"): "--patch needs --from-script FILE.py",
        ("--from-script", "script.py", "--table"): (
            "--from-script writes no project: leave out FOLDER and --script, --table, --documents"
        ),
        ("--table", "--documents"): "choose one of --script, --table and --documents",
    }.items():
        assert cli.main(["init", *arguments]) == pytest.ExitCode.USAGE_ERROR
        assert capsys.readouterr().err == f"ERROR: {told}\n"
    assert (folder / "there").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["script.py", "there"]
