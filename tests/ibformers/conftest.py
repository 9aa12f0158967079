from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ibformers.endpoints import run_train_annotator
from tests.databases import import_trainer, write_tokenizer
from tests.ibformers.trainable import PROJECT, FolderDrive, JobRecorder, write_people

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def drive(tmp_path: Path) -> FolderDrive:
    return FolderDrive(tmp_path)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LayoutLM with random weights and MiniLM's tokenizer, small enough to train in no time."""
    import torch
    from transformers import LayoutLMConfig, LayoutLMForTokenClassification

    folder = tmp_path_factory.mktemp("tiny-layoutlm")
    torch.manual_seed(3)
    config = LayoutLMConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=128
    )
    LayoutLMForTokenClassification(config).save_pretrained(folder)
    write_tokenizer(folder, 128)
    import_trainer()
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> tuple[FolderDrive, JobRecorder]:
    """A finished training on generated cards: what it wrote (under `out/T`), and what it reported."""
    drive, recorder = FolderDrive(tmp_path_factory.mktemp("trained")), JobRecorder()
    write_people(drive)
    drive.written.clear()
    run_train_annotator(
        hyperparams={"model_name": str(tiny_base), "epochs": 10, "learning_rate": 0.01, "upload": False, "epoch": 3},
        dataset_filename=f"/{PROJECT}",
        save_path="/own/repo/fs/drive/out/T/",
        file_client=drive,
        username="tester",
        job_metadata_client=recorder,
        mount_details=None,
        model_name="T-1",
    )
    return drive, recorder
