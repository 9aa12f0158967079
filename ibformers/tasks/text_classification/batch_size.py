"""Batch size and held-out rows that a training chooses by itself. This module imports nothing heavy."""

from __future__ import annotations

import math

MAX_TRAIN_BATCH, MAX_TEST_BATCH = 16, 32
"""Maximum automatic batch sizes. On reviews, models trained in batches of 32 were worse, even with twice the learning
rate."""

HELD_OUT, MIN_HELD_OUT = 0.1, 30
"""Share of the training part that fits the temperature and is not learned, and the minimum number of such rows."""


def automatic_batch_sizes(train: int, test: int) -> dict[str, int]:
    """Return the batch sizes of a training, by `train` and `test`: the square root of the rows, rounded down, or less.

    A size need not divide the number of rows, which the split decides and which may be a prime number.

    Args:
        train: number of rows that are learned.
        test: number of test rows.
    """
    return {"train": min(MAX_TRAIN_BATCH, math.isqrt(train)), "test": min(MAX_TEST_BATCH, math.isqrt(test))}


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
    return automatic_batch_sizes(learned, rows - train)
