"""Sides of rows for tests of the split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.tasks.text_classification.keys import text_key
from ibformers.tasks.text_classification.split import split_rows, split_rule
from ibformers.tuning import TrainRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARE, SEED = 0.8, 42
TABLE = {"table": "Review", "columns": "Label,Body"}

Texts = list[str]


def keys_of(texts: Sequence[str]) -> Any:
    return np.array([text_key(text) for text in texts], dtype=np.uint64)


def divided(
    texts: Sequence[str], further: Sequence[Any] = (), share: float = SHARE, seed: int = SEED, **request: Any
) -> tuple[Texts, Texts]:
    """Return the texts to train on, and the test texts."""
    rule = split_rule(TrainRequest.of(TABLE | request))
    for value in further or texts:
        rule.add([value])
    parts = split_rows(keys_of(texts), rule, share, seed)
    return [texts[index] for index in parts.train], [texts[index] for index in parts.test]
