"""Tokenise and pad texts in the same way for training, evaluation and serving.

This module decides the length limit, the padding side and the treatment of special tokens, and saves these decisions
with the tokenizer of the model.
"""

from __future__ import annotations

import inspect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ibformers.errors import RequestRefused, first_line
from ibformers.models.base import max_tokens
from ibformers.trainer.hardware import prediction_threads
from ibformers.unicode import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PaddingSide = Literal["right", "left"]

TOLERANCE = 1e-4
"""Absolute and relative tolerance for equal outputs, for rounding in float32."""

LONGEST_TRIAL = 1024
"""Maximum number of tokens of the trial text; a longer one takes a big model many seconds."""

_SHORT = "a short text"
_LONG = "a longer text, which has some more words than the short one"


@dataclass(frozen=True, slots=True)
class TokenisedTexts:
    """Texts as token ids.

    Attributes:
        tokens: ids of all texts, one text after the other.
        lengths: number of tokens of each text, at least 1.
        cut: whether each text was truncated.
    """

    tokens: NDArray[np.int64]
    lengths: NDArray[np.int64]
    cut: NDArray[np.bool_]

    def rows(self) -> list[NDArray[np.int64]]:
        """Return the ids of each text."""
        return np.split(self.tokens, np.cumsum(self.lengths)[:-1])


@dataclass(frozen=True, slots=True)
class TextReader:
    """Tokenise and pad texts for one model.

    Attributes:
        tokenizer: tokenizer of the model.
        max_tokens: maximum number of tokens of a text, special tokens included.
        padding_side: side on which padding does not change an answer; None if padding changes it on both sides, and
            then each text is a batch of its own.
        takes_mask: whether the model takes an `attention_mask`.
    """

    tokenizer: PreTrainedTokenizerBase
    max_tokens: int
    padding_side: PaddingSide | None = "right"
    takes_mask: bool = True

    @property
    def min_tokens(self) -> int:
        """Number of tokens of a text with a single token of its own."""
        return int(self.tokenizer.num_special_tokens_to_add()) + 1

    def read(self, texts: Sequence[str], max_length: int | None = None) -> TokenisedTexts:
        """Tokenise texts and truncate them to `max_length` tokens, but at most `max_tokens`.

        A special token in a text (`</s>`, `[SEP]`) is read as plain characters. A text without tokens is read as one
        end token.

        Args:
            texts: at least one text.
            max_length: maximum number of tokens; None is `max_tokens`.
        """
        limit = min(max_length or self.max_tokens, self.max_tokens)
        found = self.tokenizer(
            [clean(text) for text in texts],
            truncation=True,
            max_length=limit,
            padding=False,
            split_special_tokens=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        lengths = np.array([len(ids) for ids in found["input_ids"]], dtype=np.int64)
        added = _flat(found["special_tokens_mask"], lengths).astype(bool)
        tokens, lengths = self._without_special(_flat(found["input_ids"], lengths), lengths, added)
        tokens, lengths = self._without_gaps(tokens, lengths)
        return TokenisedTexts(tokens, lengths, self._cut(found, texts, limit))

    def pad(self, rows: Sequence[NDArray[Any]], length: int) -> dict[str, torch.Tensor]:
        """Return a batch of token ids padded to `length`, with its attention mask if the model takes one."""
        ids = np.full((len(rows), length), self.tokenizer.pad_token_id or 0, dtype=np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            place = slice(length - len(row), length) if self.padding_side == "left" else slice(0, len(row))
            ids[number, place] = row
            mask[number, place] = 1
        batch = {"input_ids": torch.from_numpy(ids)}
        return batch | ({"attention_mask": torch.from_numpy(mask)} if self.takes_mask else {})

    def _without_special(
        self, tokens: NDArray[np.int64], lengths: NDArray[np.int64], added: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Remove special tokens that a text contains, which Unigram tokenizers do not split."""
        unknown = self.tokenizer.unk_token_id
        special = [number for number in self.tokenizer.all_special_ids if number != unknown]
        spelled = np.isin(tokens, special) & ~added
        if not spelled.any():
            return tokens, lengths
        if unknown is not None:
            return np.where(spelled, unknown, tokens), lengths
        texts = np.repeat(np.arange(len(lengths)), lengths)
        return tokens[~spelled], np.bincount(texts[~spelled], minlength=len(lengths))

    def _without_gaps(
        self, tokens: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if lengths.all():
            return tokens, lengths
        names = ("eos_token_id", "sep_token_id", "bos_token_id", "unk_token_id", "pad_token_id")
        filler = next((number for name in names if (number := getattr(self.tokenizer, name)) is not None), 0)
        starts = (np.cumsum(lengths) - lengths)[lengths == 0]
        return np.insert(tokens, starts, filler), np.maximum(lengths, 1)

    def _cut(self, found: Any, texts: Sequence[str], limit: int) -> NDArray[np.bool_]:
        if found.encodings is not None:
            return np.array([bool(encoding.overflowing) for encoding in found.encodings])
        # Tokenizers in plain Python do not report truncation.
        return np.array(
            [
                len(ids) >= limit and len(self.tokenizer(clean(text), split_special_tokens=True)["input_ids"]) > limit
                for ids, text in zip(found["input_ids"], texts, strict=True)
            ]
        )


def text_reader(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> TextReader:
    """Return the reader of a model, and store its decisions in the tokenizer, which is saved with them.

    Args:
        model: a text classifier, on the CPU.
        tokenizer: its tokenizer.
        name: name of the model, for messages.

    Raises:
        RequestRefused: the model cannot read tokenised texts.
    """
    limit = max_tokens(model, tokenizer.model_max_length)
    takes_mask = "attention_mask" in inspect.signature(model.forward).parameters
    reader = TextReader(tokenizer, limit, takes_mask=takes_mask)
    if limit < reader.min_tokens:
        raise _reading_error(
            name, f"it reads at most {limit} tokens, of which its tokenizer adds {limit} to every text"
        )
    _check_vocabulary(model, tokenizer, name)
    side = _padding_side(model, reader, name)
    decisions = {"model_max_length": limit, "padding_side": side or "right", "split_special_tokens": True}
    for attribute, value in decisions.items():
        setattr(tokenizer, attribute, value)
        # `save_pretrained` writes only the arguments in `init_kwargs`.
        tokenizer.init_kwargs[attribute] = value
    return TextReader(tokenizer, limit, side, takes_mask)


def check_longest(model: PreTrainedModel, reader: TextReader, name: str) -> None:
    """Check that the model reads a text of `max_tokens` tokens, or of `LONGEST_TRIAL` if that is less.

    Raises:
        RequestRefused: the model fails.
    """
    length = min(reader.max_tokens, LONGEST_TRIAL)
    (row,) = reader.read([_LONG * length], max_length=length).rows()
    try:
        _outputs(model, reader, [row], len(row))
    except Exception as error:  # noqa: BLE001 - models of others raise any class
        raise _reading_error(name, f"a text of {len(row)} tokens fails: {first_line(error)}") from None


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    embeddings = model.get_input_embeddings()
    size = getattr(embeddings, "num_embeddings", None)
    special = {*tokenizer.all_special_ids} - {tokenizer.pad_token_id}
    used = [number for number in tokenizer.get_vocab().values() if number not in special]
    if size is not None and used and max(used) >= size:
        raise _reading_error(name, f"its tokenizer has the token {max(used)}, but it knows only {size} tokens, from 0")


def _padding_side(model: PreTrainedModel, reader: TextReader, name: str) -> PaddingSide | None:
    """Return the side on which padding does not change the model's outputs, or None."""
    rows = reader.read([_SHORT, _LONG]).rows()
    length = min(max(len(row) for row in rows) + 3, reader.max_tokens)
    sides: tuple[PaddingSide, PaddingSide] = ("right", "left")
    failures: list[Exception] = []
    try:
        alone = np.concatenate([_outputs(model, reader, [row], len(row)) for row in rows])
    except Exception as error:  # noqa: BLE001 - models of others raise any class
        raise _reading_error(name, first_line(error)) from None
    for side in sides:
        padded = TextReader(reader.tokenizer, reader.max_tokens, side, reader.takes_mask)
        try:
            together = _outputs(model, padded, rows, length)
        except Exception as error:  # noqa: BLE001 - the other side may work
            failures.append(error)
            continue
        if np.allclose(together, alone, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            return side
    if len(failures) == len(sides):
        raise _reading_error(name, f"several texts at once fail: {first_line(failures[0])}")
    return None


def _outputs(
    model: PreTrainedModel, reader: TextReader, rows: Sequence[NDArray[Any]], length: int
) -> NDArray[np.float32]:
    model.train(False)
    with prediction_threads(), torch.inference_mode():
        logits = model(**reader.pad(rows, length)).logits
    if tuple(logits.shape) != (len(rows), model.config.num_labels):
        raise ValueError(f"it gives outputs of the shape {tuple(logits.shape)} for {len(rows)} texts")
    outputs: NDArray[np.float32] = logits.float().numpy()
    return outputs


def _reading_error(name: str, reason: str) -> RequestRefused:
    return RequestRefused(f"The model {name} cannot read texts: {reason}.", "model_name")


def _flat(rows: Sequence[Sequence[int]], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
