"""Training and override that a test kills, in a process of a fork server with all modules imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibformers.tuning import DatabaseRows, Tuning

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from pathlib import Path

PRELOAD = [
    "ibformers.tasks.text_classification.run",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
    "sqlalchemy.dialects.sqlite",
    "accelerate",
    __name__,
]


def train_and_override(path: Path, database: str, request: dict[str, Any], begun: Event, done: Event) -> None:
    import torch

    torch.set_num_threads(1)
    begun.set()
    tuning = Tuning({"path": path, "model_name": "tiny", "num_labels": 5}, DatabaseRows(database))
    tuning.train(request)
    tuning.override()
    done.set()
