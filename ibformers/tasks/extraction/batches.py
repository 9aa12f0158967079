"""Training examples and how they become batches: labels on first tokens, page jitter, short padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ibformers.tasks.extraction.features import BOX_LIMIT, on_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ibformers.documents.document import AnnotatedDocument
    from ibformers.tasks.extraction.features import Encoder
    from ibformers.trainer.bucketing import Example

IGNORED = -100
"""Label of the tokens that the loss leaves out (the default of torch's cross entropy)."""

PAD_TO = 32
"""Lengths are padded to multiples of this: fewer shapes, so that torch's CPU kernels keep fewer plans and buffers."""

JITTER = 0.05
"""Pages are scaled and shifted by up to this share while training, so that no exact position is learned by heart."""

LINE_DROPOUT = 0.25
"""Mean share of the lines without any field that an example leaves out while training, drawn anew each time.

What stands around a field differs from one layout to the next; a model that has seen it vary finds the field in layouts
that training did not have.
"""


def training_examples(documents: Sequence[AnnotatedDocument], encoder: Encoder) -> list[Example]:
    """Encode documents: one example for every chunk, with `input_ids`, `boxes`, `labels` and `lines` of its tokens.

    A word's class is the label of its first token; its other tokens and the special ones are left out of the loss.
    `lines` is the number of the word's line, -1 for special tokens.
    """
    examples = []
    for item in documents:
        for chunk in encoder.encode(item.document):
            labels = np.full(len(chunk.input_ids), IGNORED, dtype=np.int64)
            labels[chunk.first_tokens] = item.classes[chunk.first_word : chunk.end_word]
            lines = np.array([item.document.words[word].line if word >= 0 else -1 for word in chunk.words()])
            examples.append({"input_ids": chunk.input_ids, "boxes": chunk.boxes, "labels": labels, "lines": lines})
    return examples


class Collator:
    """Makes a batch of examples: leaves out lines, jitters the pages, puts the boxes on the grid, pads to `PAD_TO`.

    Args:
        encoder: gives the box grid and the most tokens that a batch may have.
        pad_id: the padding token.
        uses_boxes: whether the model reads `bbox`.
        seed: of what is left out, and of the jitter.
    """

    def __init__(self, encoder: Encoder, *, pad_id: int, uses_boxes: bool, seed: int) -> None:
        self._grid = encoder.settings.box_grid
        self._max_tokens = encoder.settings.chunk_size
        self._pad_id = pad_id
        self._uses_boxes = uses_boxes
        self._random = np.random.default_rng(seed)

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        examples = [self._drop_lines(example) for example in examples]
        longest = max(len(example["input_ids"]) for example in examples)
        length = min(-(-longest // PAD_TO) * PAD_TO, max(self._max_tokens, longest))
        shape = (len(examples), length)
        batch = {
            "input_ids": np.full(shape, self._pad_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "labels": np.full(shape, IGNORED, dtype=np.int64),
        }
        if self._uses_boxes:
            batch["bbox"] = np.zeros((*shape, 4), dtype=np.int64)
        for row, example in enumerate(examples):
            tokens = len(example["input_ids"])
            batch["input_ids"][row, :tokens] = example["input_ids"]
            batch["attention_mask"][row, :tokens] = 1
            batch["labels"][row, :tokens] = example["labels"]
            if self._uses_boxes:
                batch["bbox"][row, :tokens] = on_grid(self._jitter(example["boxes"]), self._grid)
        return {key: torch.from_numpy(value) for key, value in batch.items()}

    def _drop_lines(self, example: Example) -> Example:
        lines = example["lines"]
        with_field = lines[example["labels"] > 0]
        candidates = np.setdiff1d(lines[lines >= 0], with_field)
        share = self._random.uniform(0, 2 * LINE_DROPOUT)
        dropped = candidates[self._random.random(len(candidates)) < share]
        kept = ~np.isin(lines, dropped)
        return {key: values[kept] for key, values in example.items()}

    def _jitter(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        scale = self._random.uniform(1 - JITTER, 1 + JITTER, size=2)
        shift = self._random.uniform(-JITTER, JITTER, size=2) * BOX_LIMIT
        return boxes * np.tile(scale, 2) + np.tile(shift, 2)
