"""Model tests on a function of the project's own: trained, served, compared and promoted, with any data."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.docs_blocks import CLONE, blocks_of, is_code
from tests.plugin.conftest import ROOT, TOKEN, Project, Server

PAGE = CLONE / "docs" / "your-own-trainer.md"
TRAINER = """
import json
from dataclasses import dataclass

from ibformers.sdk import Job, Result, trainer

@dataclass
class Settings:
    spam: str = "money"
    oops: str = ""

@trainer(config=Settings)
def train(job: Job) -> Result:
    rows = job.read_table("train.csv")
    train, test = job.split(rows, by="text", train=0.5)
    print("images", sorted(path.name for path in job.data_paths), "baseline", job.baseline and job.baseline.metrics)
    job.log(step=1, of=2, loss=0.5)
    found = [{"input": {"words": row["text"]}, "predicted": label(row, job.config.spam), "expected": row["label"]}
             for row in test]
    if job.config.oops == "same":
        found[1]["id"] = found[0]["id"] = "a"
    right = sum(one["predicted"] == one["expected"] for one in found) / len(found)
    def save(folder):
        (folder / "spam.json").write_text(json.dumps(job.config.spam))
    return Result({"accuracy": right, "f1": {"weighted avg": right}}, found, save)

def label(row, word):
    return "spam" if word in row["text"] else "ham"

def load(folder):
    word = json.loads((folder / "spam.json").read_text())
    return lambda row: label({"text": row["words"]}, word)
"""
ON_DRIVE = """
from ibformers.sdk import Result, trainer

@trainer
def train(job):
    one = job.open("Project_input/out/s2_map_records/a.ibocr").read()
    return Result({"size": len(one), "files": len([*job.data_path.rglob("*.ibocr")])})
"""
NOWHERE = "acme/data/fs/Drive/nothing"
ROWS = [("money", "spam"), ("lunch", "ham"), ("prize money", "spam"), ("report", "ham")]


@pytest.fixture
def scripts(served: Project) -> Project:
    """A project with a trainer, a table and a folder of data."""
    root = served.pytester.path
    (root / "mytrainer").mkdir()
    (root / "mytrainer" / "__init__.py").write_text(TRAINER)
    rows = [f"{text} {number},{label}" for text, label in ROWS for number in range(50)]
    (root / "train.csv").write_text("\n".join(["text,label", *rows]))
    (root / "images" / "a").mkdir(parents=True)
    (root / "images" / "a" / "1.txt").write_text("one")
    return served


def write_tests(project: Project, **entries: dict[str, Any]) -> None:
    defaults = {"env": "dogfood", "function": "mytrainer.train", "data": "./train.csv", "time_limit": 60}
    tests = {name: {**defaults, **entry} for name, entry in entries.items()}
    (project.pytester.path / "model_tests.yaml").write_text(yaml.safe_dump(tests, sort_keys=False))


def test_it_is_trained_served_compared_and_promoted(scripts: Project, server: Server) -> None:
    unpacked = server.jobs("unzip")
    (scripts.pytester.path / "ondrive").mkdir()
    (scripts.pytester.path / "ondrive" / "__init__.py").write_text(ON_DRIVE)
    drive = {"function": "ondrive.train", "data": "acme/data/fs/Drive/project", "inference": False}
    everything = {"data": ["train.csv", "images"], "inference": {"documents": "all"}, "better_than_current": True}
    write_tests(
        scripts,
        Mails=everything | {"metrics": {"accuracy": 0.9}},
        Drive=drive | {"metrics": {"files": {"min": 3}}},
    )
    result = scripts.run("--promote", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "Mails on dogfood: trained in *",
            "  accuracy  all *1.0000 *0.9000  +0.1000  0.9* to 1.00",
            "  tested on * rows (split by hash, seed 42, fingerprint *)",
            "Mails on dogfood: served; * fields of * documents match training (*",
            "  better_than_current: no model of this name is in use yet, so none was compared",
            "  promoted: Mails is now version *",
            "Drive on dogfood: trained in *",
            "  promoted: Drive is now version *",
        ]
    )
    assert "Drive::dogfood::test_inference" not in result.stdout.str()
    assert server.jobs("unzip") - unpacked == 3  # two packages and the folder
    assert server.left_over() == []


def test_mistakes_are_one_sentence_each(scripts: Project, server: Server) -> None:
    root = scripts.pytester.path
    (root / "half").mkdir()
    (root / "half" / "__init__.py").write_text(TRAINER.partition("def load")[0])
    write_tests(
        scripts,
        Config={"config": {"spma": "x"}},
        Same={"config": {"oops": "same"}},
        Data={"data": "./nothing.csv"},
        Drive={"data": NOWHERE},
        Code={"function": "nocode.train"},
        Half={"function": "half.train"},
    )
    result = scripts.run()
    result.assert_outcomes(failed=7, passed=1, skipped=4)
    lines = (root / "model_tests.yaml").read_text().splitlines()
    data, drive = (f"model_tests.yaml:{lines.index(f'  data: {text}') + 1}" for text in ("./nothing.csv", NOWHERE))
    told = [
        "training failed: mytrainer/__init__.py:12: config has no `spma` (did you mean spam?) (keys: oops, spam).",
        "training failed: mytrainer/__init__.py:25: prediction 2 has the id 'a', as an earlier one has.",
        f"{data}: `data`: {root}/nothing.csv: no such file or folder: correct the path, or make the data first",
        f"{drive}: `data`: the environment cannot read {NOWHERE} (*): correct the drive path, or *",
        f"{root}/nocode: no such folder; it should contain the training code",
        "half/__init__.py:1: there is no `load(folder)`, so the model cannot be served: add one that returns *",
    ]
    for sentence in told:
        result.stdout.fnmatch_lines([f"*{sentence.replace('[', '[[]')}*"])
    assert "Traceback" not in result.stdout.str()
    assert server.left_over() == []


def test_the_page_works_as_it_stands(served: Project, server: Server) -> None:
    """Run the blocks of your-own-trainer.md in their order: files are written, commands are run."""
    root = served.pytester.path
    for block in blocks_of(PAGE):
        first, _, text = block.text.partition("\n")
        if block.language in {"python", "yaml"}:
            file = root / first.removeprefix("# ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text.replace("env: sandbox", "env: dogfood"))
        elif is_code(block.language) and block.text != "pytest\n":
            assert served.pytester.run("bash", "-ec", block.text).ret == 0
    result = served.run("test_mytrainer.py", "model_tests.yaml")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["Mails on dogfood: served; * match training *"])
    trainer = (root / "mytrainer" / "__init__.py").read_text()
    assert len([line for line in trainer.splitlines() if line.strip()]) <= 20
    assert json.loads(json.dumps(TOKEN)) not in result.stdout.str()
    assert ROOT not in result.stdout.str()
