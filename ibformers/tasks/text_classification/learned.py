"""Record of the rows that a model was trained on, kept in the model's folder."""

from __future__ import annotations

import logging
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from ibformers.registry.store import TRAINING_RECORD
from ibformers.tasks.text_classification.keys import is_among

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ibformers.tasks.text_classification.keys import Keys

FILE = "learned_rows.npz"
"""File of the record: keys without texts. The keys reveal whether a known text was trained on."""

logger = logging.getLogger("ibformers.tuning")


@dataclass(frozen=True, slots=True, eq=False)
class LearnedRows:
    """Keys of the rows that a model, or one that it was tuned from, was trained on.

    Attributes:
        keys: sorted and unique keys.
        complete: whether these are all keys; False if an older version, which kept no record, tuned one of the models.
    """

    keys: Keys
    complete: bool

    @classmethod
    def of(cls, source: str) -> Self:
        """Return the record of the model in a folder; an empty one for a model as downloaded, or from the hub."""
        folder = Path(source)
        if not (folder / FILE).is_file():
            tuned = folder.is_dir() and (folder.resolve().parent / TRAINING_RECORD).is_file()
            return cls(np.array([], dtype=np.uint64), complete=not tuned)
        try:
            with (folder / FILE).open("rb") as file, np.load(file, allow_pickle=False) as kept:
                return cls(np.unique(kept["keys"].astype(np.uint64)), complete=bool(kept["complete"]))
        except (OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error):
            logger.warning("%s cannot be read: which rows the model has learned is not known", folder / FILE)
            return cls(np.array([], dtype=np.uint64), complete=False)

    def among(self, keys: Keys) -> NDArray[np.bool_] | None:
        """Return whether the row of each key was trained on; None if that is not known."""
        return is_among(keys, self.keys) if self.complete else None

    def with_rows(self, keys: Keys) -> LearnedRows:
        """Return the record of a model that is tuned from this one on the rows with these keys."""
        return LearnedRows(np.union1d(self.keys, keys), self.complete)

    def write(self, folder: Path) -> None:
        """Write the record into the folder of a model."""
        with (folder / FILE).open("wb") as file:
            np.savez(file, keys=self.keys, complete=np.array(self.complete))
