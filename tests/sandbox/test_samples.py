"""The built-in samples: a valid Annotator project, and a table of reviews, the same each time."""

import contextlib
import csv
import hashlib
import io
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_ibmodels.sandbox.samples import SAMPLES, drivers_licenses, sample_database, sample_folder
from pytest_ibmodels.sandbox.samples.reviews import reviews
from pytest_ibmodels.sandbox.services.records import record_problem
from tests.sandbox.running import RunningSandbox

MOUNTED = "acme/mounts/fs/Mounted/deeper/licenses"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_folder("drivers-licenses", tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def project(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "NYDriversLicenses.ibannotator").read_text())
    return content


def record(folder: Path, file: dict[str, Any]) -> dict[str, Any]:
    (only,) = json.loads((folder / file["ocrPath"]).read_text())
    content: dict[str, Any] = only
    return content


def test_its_documents(folder: Path, project: dict[str, Any]) -> None:
    assert [label["name"] for label in project["labels"]] == ["DL Number", "Name", "Address"]
    assert (len(project["files"]), len(project["testFiles"])) == (80, 20)
    assert set(project["testFiles"]) < {file["id"] for file in project["files"]}
    for file in project["files"]:
        content = record(folder, file)
        assert record_problem(content) is None
        assert 28 <= len(content["text"].split()) <= 51
        layout = content["metadata_list"][0]["layout"]
        for word in (word for line in content["lines"] for word in line):
            assert 0 <= word["start_x"] < word["end_x"] <= layout["width"]
            assert 0 <= word["start_y"] < word["end_y"] <= layout["height"]


def test_its_annotations_are_words_of_its_documents(folder: Path, project: dict[str, Any]) -> None:
    for file in project["files"]:
        words = {
            (word["start_x"], word["start_y"], word["page"], word["raw_word"])
            for line in record(folder, file)["lines"]
            for word in line
        }
        assert sum(len(line) for line in record(folder, file)["lines"]) == len(words)
        for label in project["labels"]:
            annotation = file["annotations"][label["id"]]
            marks = [
                (
                    mark["position"]["rect"]["x"],
                    mark["position"]["rect"]["y"],
                    mark["position"]["page"],
                    mark["rawWord"],
                )
                for mark in annotation["metadata"]
            ]
            assert marks
            assert set(marks) <= words
            assert annotation["value"] == " ".join(mark[3] for mark in marks)


def test_every_layout_is_trained_and_tested(folder: Path, project: dict[str, Any]) -> None:
    titles = {file["id"]: record(folder, file)["text"].partition("\n")[0] for file in project["files"]}
    test = {titles[name] for name in project["testFiles"]}
    train = {title for name, title in titles.items() if name not in project["testFiles"]}
    assert len(test) == len(train) == 8


def test_it_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    drivers_licenses.write(tmp_path / "again")
    assert digest(tmp_path / "again") == digest(folder)


def digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.ib*")):
        whole.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return whole.hexdigest()


def test_it_is_generated_once(folder: Path) -> None:
    before = (folder / "NYDriversLicenses.ibannotator").stat().st_mtime_ns
    assert sample_folder("drivers-licenses", folder.parent) == folder
    assert (folder / "NYDriversLicenses.ibannotator").stat().st_mtime_ns == before
    assert list(SAMPLES) == ["drivers-licenses", "reviews"]


def test_the_reviews_are_a_balanced_table_that_is_the_same_everywhere(tmp_path: Path) -> None:
    url = sample_database("reviews", tmp_path)
    assert sample_database("reviews", tmp_path) == url
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        rows = database.execute("SELECT ReviewLabel, ReviewText FROM Review ORDER BY ID").fetchall()
    assert rows == reviews()
    assert Counter(stars for stars, _text in rows) == dict.fromkeys(range(1, 6), 80)
    assert len({text for _stars, text in rows}) > 350


def test_the_reviews_are_written_as_csv() -> None:
    command = [sys.executable, "-m", "pytest_ibmodels.sandbox.samples.reviews", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    header, *rows = csv.reader(io.StringIO(done.stdout, newline=""))
    assert header == ["ReviewLabel", "ReviewText"]
    assert [(int(stars), text) for stars, text in rows] == reviews(7)


def test_it_is_seen_in_the_drive(sandbox: RunningSandbox) -> None:
    assert sandbox.names(MOUNTED) == ["NYDriversLicenses.ibannotator", "NYDriversLicenses_input"]
    assert len(sandbox.names(f"{MOUNTED}/NYDriversLicenses_input/out/s2_map_records")) == 80
