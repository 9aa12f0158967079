"""Order of the training examples: neighbours are of similar length, so that batches hold little padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

BUCKET_BATCHES = 16
"""Examples of this many batches are sorted by length together, at most."""

Example = dict[str, Any]


class BucketedExamples(torch.utils.data.Dataset[Example]):
    """Examples in an order that is drawn anew for every epoch, in which neighbours are of similar length.

    Read in order by batches: little padding, and yet long and short batches in turn, where the length grouping of
    Trainer goes from the long ones to the short ones and ends every epoch with these.

    Args:
        examples: at least one.
        batch_size: of the batches that the examples will be read in.
        seed: of the order.
    """

    def __init__(self, examples: Sequence[Example], batch_size: int, seed: int) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._examples[self._order[index]]

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch; the data loader calls it when the epoch starts."""
        random = np.random.default_rng((self._seed, epoch))
        shuffled = random.permutation(len(self._examples))
        # At least two buckets, or a small dataset would be cut into the same batches in every epoch.
        bucket = max(1, min(BUCKET_BATCHES, len(shuffled) // (2 * self._batch_size))) * self._batch_size
        batches = []
        for start in range(0, len(shuffled), bucket):
            inside = sorted(shuffled[start : start + bucket], key=lambda index: len(self._examples[index]["input_ids"]))
            batches += [inside[first : first + self._batch_size] for first in range(0, len(inside), self._batch_size)]
        # Only the last batch can be smaller, and it stays last: otherwise all batches behind it would be cut elsewhere.
        order = [*random.permutation(len(batches) - 1), len(batches) - 1]
        self._order = [int(index) for number in order for index in batches[number]]
