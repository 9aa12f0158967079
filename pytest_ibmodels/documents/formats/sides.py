"""Folders of a source that say whether documents train or test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.documents.pages import Side

if TYPE_CHECKING:
    from pathlib import Path

_SIDES = {
    "train": Side.TRAINING,
    "training": Side.TRAINING,
    "training_data": Side.TRAINING,
    "dev": Side.TRAINING,
    "val": Side.TRAINING,
    "validation": Side.TRAINING,
    "test": Side.TEST,
    "testing": Side.TEST,
    "testing_data": Side.TEST,
}


def folders_of_sides(folder: Path, content: str) -> list[tuple[Side | None, Path]]:
    """Return the folders that have a subfolder ``content``: the folder itself, or those of sides in it.

    Documents of a development or validation part train, because a project knows only two sides.
    """
    if (folder / content).is_dir():
        return [(None, folder)]
    below = sorted(path for path in folder.iterdir() if path.name.lower() in _SIDES and (path / content).is_dir())
    return [(_SIDES[path.name.lower()], path) for path in below]
