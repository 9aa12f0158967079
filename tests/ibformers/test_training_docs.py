"""Statements of `docs/training.md`, held to the training code."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibformers.documents.annotator import read_project
from ibformers.documents.document import Document, Page, Word
from ibformers.errors import TrainingInputError
from ibformers.models.base import DEFAULT_BASE_MODEL
from ibformers.tasks.extraction.batches import JITTER, PAD_TO
from ibformers.tasks.extraction.job import BOX_GRID
from ibformers.tasks.extraction.metrics import evaluate
from ibformers.tasks.extraction.results import DocumentResult
from ibformers.trainer.hyperparameters import (
    MIN_STEPS,
    SCHEDULERS,
    SMALL_DATASET,
    WITHOUT_EFFECT,
    Hyperparameters,
    parse_hyperparameters,
)
from ibformers.trainer.reporting import TRAINING_SHARE
from ibformers.trainer.run import CURVE_POINTS
from tests.ibformers.trainable import PROJECT, FolderDrive, write_people

REFERENCE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
SAID = re.findall(r"^```text\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)[0].splitlines()


def section(title: str) -> str:
    return REFERENCE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> dict[str, list[str]]:
    """Name -> the other cells of its row, of the tables in a section."""
    lines = re.findall(r"^\| `(\S+)` \| (.*) \|$", section(title), re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in lines}


def shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


HYPERPARAMETERS = rows("Hyperparameters")


def test_the_hyperparameters_are_those_of_the_code_in_its_order() -> None:
    assert list(HYPERPARAMETERS) == [field.name for field in fields(Hyperparameters)]


@pytest.mark.parametrize(("name", "default"), [(field.name, field.default) for field in fields(Hyperparameters)])
def test_defaults_are_those_of_the_code(name: str, default: Any) -> None:
    cell = HYPERPARAMETERS[name][1]
    if default is None:
        assert cell.startswith("by the ")
    elif isinstance(default, float):
        assert float(cell.strip("`")) == default
    else:
        assert cell == f"`{shown(default)}`"


@pytest.mark.parametrize("name", [field.name for field in fields(Hyperparameters)])
def test_values_are_described_as_in_the_message_about_a_wrong_one(name: str) -> None:
    with pytest.raises(TrainingInputError) as caught:
        parse_hyperparameters({name: {}})
    assert caught.value.user_message == f"Hyperparameters: {name} must be {HYPERPARAMETERS[name][0]}, not {{}}."


def test_what_is_chosen_by_default_is_chosen_as_described() -> None:
    defaults = Hyperparameters()
    few, many = defaults.batch_size_for(SMALL_DATASET - 1), defaults.batch_size_for(SMALL_DATASET)
    assert f"By default {few} below {SMALL_DATASET} chunks, else {many}." in HYPERPARAMETERS["batch_size"][2]
    least = defaults.epochs_for(10**6)
    assert f"enough for {MIN_STEPS} updates, and at least {least:g}." in HYPERPARAMETERS["epochs"][2]
    assert (defaults.chunking(4096), defaults.chunking(128)) == ((512, 128), (128, 32))
    assert "what the base model reads, at most 512." in HYPERPARAMETERS["chunk_size"][2]
    assert "at most half of a chunk. By default a quarter." in HYPERPARAMETERS["stride"][2]


def test_all_schedules_are_named() -> None:
    assert tuple(re.findall(r"`(\w+)`", HYPERPARAMETERS["scheduler_type"][2])) == SCHEDULERS


def test_what_has_no_effect_is_named_with_the_reason() -> None:
    text = " ".join(section("Hyperparameters").split())
    assert [name for name, why in WITHOUT_EFFECT.items() if f"`{name}` ({why})" not in text] == []


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("How it trains", f"multiples of {PAD_TO} |"),
        ("How it trains", f"up to {JITTER:.0%} each time".replace("%", " %")),
        ("How it trains", f"a grid of {BOX_GRID} thousandths"),
        ("What it reports while it runs", f"0 to {TRAINING_SHARE:g} over the steps"),
        ("What it reports while it runs", f"about {CURVE_POINTS} points"),
    ],
)
def test_figures_are_those_of_the_code(title: str, words: str) -> None:
    assert words in section(title)


def test_the_metrics_are_those_of_the_code() -> None:
    assert list(rows("Metrics")) == list(evaluate(["Total"], []))


def test_the_entry_of_predictions_is_what_is_written() -> None:
    places = {"Total:": (100.0, 160.0), "$": (300.0, 310.0), "12.50": (315.0, 365.0)}
    text = " ".join(places)
    words = tuple(
        Word(
            text=word,
            raw=word,
            page=0,
            box=(left, 500.0, right, 520.0),
            line=0,
            index_in_line=index,
            start=text.index(word),
            end=text.index(word) + len(word),
            line_height=20.0,
            word_width=right - left,
        )
        for index, (word, (left, right)) in enumerate(places.items())
    )
    result = DocumentResult(
        document=Document("receipt.ibocr", text, words, (Page(800.0, 1000.0),)),
        predicted=np.array([0, 0, 1]),
        gold=np.array([0, 1, 1]),
        scores=np.array([0.99, 0.55, 0.97]),
    )
    example = json.loads(re.findall(r"^```json\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)[0])
    assert example == result.as_json(["Total"])


def test_mistakes_in_hyperparameters_are_told_as_shown() -> None:
    with pytest.raises(TrainingInputError) as caught:
        parse_hyperparameters({"batch_size": 0, "learning_rate": "5e-5"})
    assert caught.value.user_message == SAID[0]
    with pytest.raises(TrainingInputError) as caught:
        Hyperparameters(model_name=DEFAULT_BASE_MODEL, chunk_size=1024).chunking(512)
    assert caught.value.user_message == SAID[1]


def test_mistakes_in_a_project_are_told_as_shown(drive: FolderDrive) -> None:
    shown_path = "me/data/fs/Drive/Invoices.ibannotator"
    with pytest.raises(TrainingInputError) as caught:
        read_project(shown_path, drive)
    assert caught.value.user_message == SAID[2]

    write_people(drive)
    right = drive.read_json(PROJECT)
    training = [entry for entry in right["files"] if entry["annotations"] and entry["id"] not in right["testFiles"]]
    unseen = {"id": "unseen", "name": "Total"}
    for change, sentence in (({"testFiles": []}, SAID[3]), ({"labels": [*right["labels"], unseen]}, SAID[4])):
        drive.write_json(PROJECT, right | change)
        with pytest.raises(TrainingInputError) as caught:
            read_project(PROJECT, drive)
        expected = sentence.replace(shown_path, PROJECT).replace(" 30 ", f" {len(training)} ")
        assert caught.value.user_message == expected
