"""docs/documents.md: its smallest project can be trained on, and its commands and labels do what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ibformers.documents.annotator import read_project
from pytest_ibmodels import cli
from tests.conftest import ROOT
from tests.docs_blocks import PAGES, Block, blocks_of
from tests.documents.sources import Receipt, read, values, write_hocr
from tests.ibformers.trainable import FolderDrive

if TYPE_CHECKING:
    import pytest

BLOCKS: list[Block] = [block for page in PAGES if page.name == "documents.md" for block in blocks_of(page)]


def blocks(section: str) -> list[str]:
    """Texts of the blocks of a section, in order."""
    names = (f"documents.md: {section}", f"documents.md: {section} (2)")
    return [block.text for block in BLOCKS if block.name in names]


def test_the_smallest_project_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = blocks("The project file")
    documents = Path("data/Cards_input/out/s2_map_records")
    documents.mkdir(parents=True)
    Path("data/Cards.ibannotator").write_text(text)
    for name, document in zip(("ada", "alan"), blocks("OCR documents"), strict=True):
        (documents / f"{name}.ibocr").write_text(document)
    project = read_project("data/Cards.ibannotator", FolderDrive(tmp_path))
    assert (project.fields, len(project.training), len(project.validation)) == (("Number",), 1, 1)
    assert values(project) == {"ada.ibocr": {"Number": "A-17"}, "alan.ibocr": {"Number": "B-23"}}
    assert cli.main(["documents", "check"]) == 0
    assert capsys.readouterr().out in blocks("Check a project")


def test_every_key_of_the_examples_is_described() -> None:
    page = (ROOT / "docs" / "documents.md").read_text(encoding="utf-8")
    rows = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    texts = [*blocks("The project file"), *blocks("OCR documents")]
    keys = {key for text in texts for key in keys_of(json.loads(text))} - {"L1"}
    assert [key for key in keys if not re.search(rf"[`.]{key}\b", rows)] == []


def keys_of(value: object) -> set[str]:
    """Every key of a JSON value, at any depth."""
    if isinstance(value, list):
        return {key for one in value for key in keys_of(one)}
    return {*value, *(key for one in value.values() for key in keys_of(one))} if isinstance(value, dict) else set()


def test_the_commands_and_labels_do_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    lines = {"ada": ("Card A-17", "LOVELACE , ADA"), "alan": ("Card B-23",)}
    write_hocr(Path("scans"), tuple(Receipt(name, text, {}) for name, text in lines.items()))
    csv, as_json = blocks("Labels")
    for file, text in (("labels.csv", csv), ("labels.json", as_json)):
        Path(file).write_text(text)
        (commands,) = blocks("Convert documents of other tools")
        convert, check = (shlex.split(line.replace("labels.csv", file)) for line in commands.splitlines())
        # With two documents, chance decides which one tests: the one that lacks a name, so that nothing must be mended.
        Path("tests.txt").write_text("alan\n")
        assert cli.main([*convert[1:], "--test-files", "tests.txt", "--replace"]) == 0
        assert cli.main(check[1:]) == 0
        assert values(read(Path("data/Cards.ibannotator").absolute())) == {
            "ada.ibocr": {"Number": "A-17", "Name": "LOVELACE , ADA"},
            "alan.ibocr": {"Number": "B-23", "Name": ""},
        }
