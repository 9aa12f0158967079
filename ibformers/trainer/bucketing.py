"""Order of the training examples: neighbours are of similar length, so that batches hold little padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

BUCKET_BATCHES = 16
"""Maximum number of batches whose examples are sorted by length together."""

Example = dict[str, Any]


class BucketedExamples(torch.utils.data.Dataset[Example]):
    """Dataset in a random order for each epoch, in which neighbours are of similar length.

    Batches read in this order need little padding, and long and short batches alternate. The length grouping of
    Trainer would end every epoch with all the short batches.

    Args:
        examples: examples with `input_ids`; at least one.
        batch_size: size of the batches that are read.
        seed: seed of the order.
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
        """Draw the order of an epoch. The data loader calls this at the start of each epoch."""
        random = np.random.default_rng((self._seed, epoch))
        shuffled = random.permutation(len(self._examples))
        # With one bucket, a small dataset would have the same batches in every epoch.
        bucket = max(1, min(BUCKET_BATCHES, len(shuffled) // (2 * self._batch_size))) * self._batch_size
        batches = []
        for start in range(0, len(shuffled), bucket):
            inside = sorted(shuffled[start : start + bucket], key=lambda index: len(self._examples[index]["input_ids"]))
            batches += [inside[first : first + self._batch_size] for first in range(0, len(inside), self._batch_size)]
        # The last batch may be smaller: it stays last, otherwise the batches after it would be split elsewhere.
        order = [*random.permutation(len(batches) - 1), len(batches) - 1]
        self._order = [int(index) for number in order for index in batches[number]]
