"""Training examples of extraction, and their collation into batches."""

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
"""Label of tokens that the loss ignores (the default of torch's cross entropy)."""

PAD_TO = 32
"""Multiple that lengths are padded to; fewer shapes need fewer plans and buffers of torch's CPU kernels."""

JITTER = 0.05
"""Maximum random scaling and shift of a page in training (fraction), so that exact positions are not memorised."""

LINE_DROPOUT = 0.25
"""Mean fraction of the lines without a field that are dropped from a training example, at random for each batch.

The surroundings of a field differ between layouts; random surroundings help with unknown layouts.
"""


def training_examples(documents: Sequence[AnnotatedDocument], encoder: Encoder) -> list[Example]:
    """Encode documents into one example per chunk, with `input_ids`, `boxes`, `labels` and `lines` of its tokens.

    The first token of a word has the class of the word as its label; all other tokens have `IGNORED`. `lines` holds
    the line number of the word, -1 for special tokens.
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
    """Collator that drops lines, jitters pages, puts boxes on the grid, and pads to multiples of `PAD_TO`.

    Args:
        encoder: source of the box grid and of the token limit of a batch.
        pad_id: id of the padding token.
        uses_boxes: True if the model takes `bbox`.
        seed: seed of the dropped lines and of the jitter.
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
