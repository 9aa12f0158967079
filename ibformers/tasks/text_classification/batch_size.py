"""Batch size and held-out rows that a training chooses by itself. This module imports nothing heavy."""

from __future__ import annotations

import math

HELD_OUT, MIN_HELD_OUT = 0.1, 30
"""Share of the training part that fits the temperature and is not learned, and the minimum number of such rows."""


def automatic_batch_size(rows: int) -> int:
    """Return the square root of the number of rows, rounded down, and at most 32.

    The size need not divide the number of rows, which the split decides and which may be a prime number.
    """
    return min(32, math.isqrt(rows))


def expected_batch_sizes(rows: int, p_of_train: float) -> dict[str, int]:
    """Return the expected batch sizes of a training, by `train` and `test`.

    The hash of each row decides its side, so the numbers of rows differ a little from the expected ones.

    Args:
        rows: number of rows that are read.
        p_of_train: expected fraction of rows to train on.
    """
    train = min(max(round(rows * p_of_train), 1), rows - 1)
    held_out = round(train * HELD_OUT)
    learned = train - held_out if held_out >= MIN_HELD_OUT else train
    return {"train": automatic_batch_size(learned), "test": automatic_batch_size(rows - train)}
