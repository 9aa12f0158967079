"""A folder that is a drive, generated Annotator projects small enough to be trained on in seconds, and such a training.

What is heavy to import is imported where it is used: every run of the project's tests imports this module.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.databases import save_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = "own/repo/fs/drive/people/People.ibannotator"
DOCUMENTS = "people/People_input/out/s2_map_records"
FIELDS = ("Full Name", "Number")

FIRST = ("Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Ken", "Radia", "Tony")
LAST = ("Lovelace", "Turing", "Hopper", "Dijkstra", "Liskov", "Knuth", "Allen", "Thompson", "Perlman", "Hoare")


class FolderDrive:
    """A drive whose files lie in a local folder. It keeps the order in which files were written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written: list[str] = []

    def read_file(self, path: str) -> bytes:
        assert not path.startswith("/")
        return (self.root / path).read_bytes()

    def write_file(self, path: str, data: bytes) -> None:
        assert not path.startswith("/")
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.written.append(path)

    def read_json(self, path: str) -> Any:
        return json.loads(self.read_file(path))

    def write_json(self, path: str, value: Any) -> None:
        self.write_file(path, json.dumps(value).encode())


@dataclass
class JobRecorder:
    """Keeps all that a job reports, in order."""

    job_id: str = "job-7"
    reports: list[dict[str, Any]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def update_metadata(self, metadata: dict[str, Any]) -> None:
        self.reports.append(json.loads(json.dumps(metadata, allow_nan=False)))

    def update_message(self, message: str) -> None:
        self.messages.append(message)


def ocr_document(lines: list[str], *, width: float = 600, height: float = 800) -> list[dict[str, Any]]:
    """One record with the words of the lines on a page, ten pixels for each character."""
    records = []
    for number, line in enumerate(lines):
        words, left = [], 20.0
        for word in line.split():
            right = left + 10.0 * len(word)
            top = 30.0 + 25 * number
            words.append(
                {
                    "word": word,
                    "raw_word": word,
                    "page": 0,
                    "start_x": left,
                    "end_x": right,
                    "start_y": top,
                    "end_y": top + 20,
                    "line_height": 20.0,
                    "word_width": right - left,
                    "char_width": 10.0,
                }
            )
            left = right + 10
        records.append(words)
    layout = {"layout": {"width": width, "height": height}}
    return [{"text": "\n".join(lines), "lines": records, "metadata_list": [layout]}]


def annotation(record: dict[str, Any], places: list[tuple[int, int]]) -> dict[str, Any]:
    """The annotation of the words at (line, index in line)."""
    words = [record["lines"][line][index] for line, index in places]
    return {
        "value": " ".join(word["word"] for word in words),
        "metadata": [
            {
                "dataType": "WordPoly",
                "type": "rect",
                "rawWord": word["raw_word"],
                "position": {
                    "page": word["page"],
                    "rect": {"x": word["start_x"], "y": word["start_y"], "w": 1, "h": 1},
                },
            }
            for word in words
        ],
    }


def write_people(drive: FolderDrive, *, training: int = 12, test: int = 4, unannotated: int = 1) -> dict[str, Any]:
    """Write a project of membership cards in three layouts and return what its `.ibannotator` holds."""
    chance = random.Random(5)  # noqa: S311 - the same documents every time
    files = []
    for index in range(training + test + unannotated):
        name = [chance.choice(FIRST), chance.choice(LAST)]
        number = f"{chance.randrange(10**4):04d}-{chance.randrange(100):02d}"
        lines, places = [
            (["MEMBER CARD", f"Name {name[0]} {name[1]}", f"No {number}", "valid"], ([(1, 1), (1, 2)], [(2, 1)])),
            (["CLUB", f"Number {number}", f"Member {name[0]} {name[1]}"], ([(2, 1), (2, 2)], [(1, 1)])),
            (["LIBRARY", f"Card {number} of {name[0]} {name[1]} here"], ([(1, 3), (1, 4)], [(1, 1)])),
        ][index % 3]
        records = ocr_document(lines)
        path = f"own/repo/fs/drive/{DOCUMENTS}/{index:03d}.ibocr"
        drive.write_json(path, records)
        found = {f"L{number}": annotation(records[0], words) for number, words in enumerate(places)}
        files.append({"id": f"F{index}", "ocrPath": path, "annotations": found if index < training + test else {}})
    project = {
        "labels": [{"id": f"L{number}", "name": name, "type": "Text"} for number, name in enumerate(FIELDS)],
        "files": files,
        "testFiles": [f"F{index}" for index in range(training, training + test)],
    }
    drive.write_json(PROJECT, project)
    return project


@pytest.fixture(scope="session")
def tiny_layoutlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LayoutLM with a head that has learned nothing."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny-layoutlm"), "LayoutLMForTokenClassification", 2, 128)


@pytest.fixture(scope="session")
def extraction_training(
    tmp_path_factory: pytest.TempPathFactory, tiny_layoutlm: Path
) -> tuple[FolderDrive, JobRecorder]:
    """A finished training on generated cards: what it wrote (under `out/T`), and what it reported."""
    from ibformers.endpoints import run_train_annotator

    drive, recorder = FolderDrive(tmp_path_factory.mktemp("trained")), JobRecorder()
    write_people(drive)
    drive.written.clear()
    base = str(tiny_layoutlm)
    run_train_annotator(
        hyperparams={"model_name": base, "epochs": 10, "learning_rate": 0.01, "upload": False, "epoch": 3},
        dataset_filename=f"/{PROJECT}",
        save_path="/own/repo/fs/drive/out/T/",
        file_client=drive,
        username="tester",
        job_metadata_client=recorder,
        mount_details=None,
        model_name="T-1",
    )
    return drive, recorder
