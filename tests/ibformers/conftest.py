from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ibformers.trainable import FolderDrive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ibformers.trainable import JobRecorder


@pytest.fixture
def drive(tmp_path: Path) -> FolderDrive:
    return FolderDrive(tmp_path)


@pytest.fixture
def trained(extraction_training: tuple[FolderDrive, JobRecorder]) -> tuple[FolderDrive, JobRecorder]:
    """A finished training on generated cards: what it wrote (under `out/T`), and what it reported."""
    return extraction_training
