"""Fixtures: trained models and their answers."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ibformers.tuning import DatabaseRows, ModelSettings, TakeAnswer, TrainAnswer, Tuning

if TYPE_CHECKING:
    from pathlib import Path

REQUEST: dict[str, Any] = {
    "columns": "ReviewLabel,ReviewText",
    "table": "iris.Review",
    "limit": 20,
    "p_of_train": 0.8,
    "evaluation_strategy": "steps",
    "learning_rate": 0.01,
    "num_train_epochs": 1,
}
"""Train request of the documentation, without a folder for checkpoints."""


@dataclass(frozen=True)
class Tuned:
    """A model that was trained twice and overridden once, with the answers."""

    path: Path
    settings: ModelSettings
    first: TrainAnswer
    taken: TakeAnswer
    second: TrainAnswer
    database: str

    def copy(self, to: Path) -> Path:
        """Copy the folder of models; the files of versions are hard links, because they never change."""
        return shutil.copytree(self.path, to, symlinks=True, copy_function=os.link)


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, sqlite: str) -> Tuned:
    path = tmp_path_factory.mktemp("tuned") / "models"
    shutil.copytree(tiny_bert, path / "tiny")
    settings = ModelSettings(path=path, model_name="tiny", num_labels=5)
    tuning = Tuning(settings, DatabaseRows(sqlite))
    first = tuning.train(
        REQUEST | {"limit": 120, "num_train_epochs": 10, "per_device_train_batch_size": 16, "ordered_labels": False}
    )
    taken = tuning.override({})
    second = tuning.train(REQUEST | {"limit": 40, "learning_rate": 1e-3}, predictions=6)
    return Tuned(path, settings, first, taken, second, sqlite)
