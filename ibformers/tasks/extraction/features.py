"""Encoding of documents into overlapping chunks of tokens with boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ibformers.errors import TrainingInputError
from ibformers.unicode import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from ibformers.documents.document import Document

BOX_LIMIT = 1000
"""Width and height of a page in scaled boxes, as LayoutLM was pretrained."""


@dataclass(frozen=True, slots=True)
class EncodingSettings:
    """Settings of the encoding. They are saved with a model, because serving must encode as training did.

    Attributes:
        chunk_size: maximum number of tokens of a chunk, special tokens included.
        stride: maximum number of tokens that a chunk shares with the previous one.
        box_grid: grid that boxes are floored to, in thousandths of the page.
    """

    chunk_size: int
    stride: int
    box_grid: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of whole words of one document, as tokens.

    Attributes:
        first_word: index of the first word in the document.
        input_ids: shape (tokens,), special tokens included.
        boxes: shape (tokens, 4), in thousandths of the page, before rounding to the grid.
        first_tokens: shape (words,), index of the first token of each word.
        end_token: one past the last token of the last word; special tokens may follow.
    """

    first_word: int
    input_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    first_tokens: NDArray[np.int64]
    end_token: int

    @property
    def end_word(self) -> int:
        """One past the index of the last word in the document."""
        return self.first_word + len(self.first_tokens)

    def words(self) -> list[int]:
        """Word index of each token in the document; -1 for special tokens."""
        ends = np.append(self.first_tokens[1:], self.end_token)
        words = [-1] * len(self.input_ids)
        for word, (start, end) in enumerate(zip(self.first_tokens, ends, strict=True), start=self.first_word):
            words[start:end] = [word] * (end - start)
        return words


class Encoder:
    """Encoder of documents, with one tokenizer and one set of settings."""

    def __init__(self, tokenizer: Tokenizer, settings: EncodingSettings) -> None:
        # A tokenizer file may have padding and truncation enabled (the packaged MiniLM truncates at 128 tokens).
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.settings = settings
        # A word such as `[SEP]` in a document is text, not a special token.
        tokenizer.encode_special_tokens = True
        self._prefix, self._suffix = _special_tokens(tokenizer)
        if self.capacity < 1:
            raise TrainingInputError(
                f"The base model reads at most {settings.chunk_size} tokens at once, of which its tokenizer adds "
                f"{len(self._prefix) + len(self._suffix)} by itself: no word fits."
            )

    @property
    def capacity(self) -> int:
        """Maximum number of word tokens in a chunk."""
        return self.settings.chunk_size - len(self._prefix) - len(self._suffix)

    def encode(self, document: Document) -> list[Chunk]:
        """Split a document into chunks that cover every word; a document without words has no chunks."""
        word_tokens = self._word_tokens(document)
        boxes = normalised_boxes(document)
        return [
            self._chunk(word_tokens, boxes, first, end)
            for first, end in chunk_bounds([len(tokens) for tokens in word_tokens], self.capacity, self.settings.stride)
        ]

    def _word_tokens(self, document: Document) -> list[list[int]]:
        encoding = self.tokenizer.encode(
            [clean(word.text) for word in document.words], is_pretokenized=True, add_special_tokens=False
        )
        tokens: list[list[int]] = [[] for _ in document.words]
        for token, word in zip(encoding.ids, encoding.word_ids, strict=True):
            # A word longer than a chunk is a drawn line or noise, so it is truncated.
            if word is not None and len(tokens[word]) < self.capacity:
                tokens[word].append(token)
        filler = self._prefix[:1] or self._suffix[:1] or [0]
        return [token_ids or filler for token_ids in tokens]

    def _chunk(self, word_tokens: list[list[int]], boxes: NDArray[np.float64], first: int, end: int) -> Chunk:
        lengths = np.array([len(tokens) for tokens in word_tokens[first:end]])
        inner = [token for tokens in word_tokens[first:end] for token in tokens]
        return Chunk(
            first_word=first,
            input_ids=np.array([*self._prefix, *inner, *self._suffix], dtype=np.int64),
            boxes=np.concatenate(
                [
                    np.zeros((len(self._prefix), 4)),
                    np.repeat(boxes[first:end], lengths, axis=0),
                    np.full((len(self._suffix), 4), float(BOX_LIMIT)),
                ]
            ),
            first_tokens=len(self._prefix) + np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
            end_token=len(self._prefix) + len(inner),
        )


def chunk_bounds(token_counts: list[int], capacity: int, stride: int) -> list[tuple[int, int]]:
    """Split words into runs of at most `capacity` tokens that overlap by whole words, by at most `stride` tokens.

    Args:
        token_counts: number of tokens of each word, each 1..capacity.
        capacity: maximum number of tokens of a run.
        stride: maximum number of tokens that two neighbours share; less than `capacity`.

    Returns:
        First word and one past the last word of each run, in order.

    Raises:
        TrainingInputError: No word fits into a run.
    """
    if capacity < 1:
        raise TrainingInputError(f"No word fits into chunks of {capacity} tokens.")
    bounds: list[tuple[int, int]] = []
    first = end = 0
    while end < len(token_counts):
        room = capacity
        fresh = end
        end = first
        while end < len(token_counts) and token_counts[end] <= room:
            room -= token_counts[end]
            end += 1
        if end <= fresh:
            # The shared words leave no room for a very long next word, which then starts a run alone.
            first = end = fresh
            continue
        bounds.append((first, end))
        shared = stride
        first = end
        while first - 1 > bounds[-1][0] and token_counts[first - 1] <= shared:
            first -= 1
            shared -= token_counts[first]
    return bounds


def central_chunks(bounds: list[tuple[int, int]], word_count: int) -> NDArray[np.int64]:
    """Return the run in which each word is farthest from a cut, the first one of ties. Shape (words,).

    The two ends of the document are no cuts, because no context is missing there.
    """
    best = np.full(word_count, -1, dtype=np.int64)
    chosen = np.zeros(word_count, dtype=np.int64)
    for number, (first, end) in enumerate(bounds):
        words = np.arange(first, end)
        left = np.full(end - first, word_count) if first == 0 else words - first
        right = np.full(end - first, word_count) if end == word_count else end - 1 - words
        distance = np.minimum(left, right)
        better = distance > best[first:end]
        best[first:end][better] = distance[better]
        chosen[first:end][better] = number
    return chosen


def normalised_boxes(document: Document) -> NDArray[np.float64]:
    """Return word boxes in thousandths of the page: left <= right, top <= bottom, within 0..1000. Shape (words, 4)."""
    boxes = np.array([word.box for word in document.words], dtype=np.float64).reshape(-1, 4)
    sizes = np.array([(page.width, page.height) for page in document.pages], dtype=np.float64).reshape(-1, 2)
    scale = BOX_LIMIT / sizes[[word.page for word in document.words]]
    corners = np.clip(boxes.reshape(-1, 2, 2) * scale[:, None, :], 0, BOX_LIMIT)
    ordered: NDArray[np.float64] = np.sort(corners, axis=1)
    return ordered.reshape(-1, 4)


def on_grid(boxes: NDArray[np.float64], grid: int) -> NDArray[np.int64]:
    """Floor boxes to the grid and clip them to 0..1000. The shape is that of `boxes`."""
    floored: NDArray[np.float64] = np.floor(boxes / grid) * grid
    return np.clip(floored, 0, BOX_LIMIT).astype(np.int64)


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the ids of the special tokens before and after a text."""
    encoding = tokenizer.encode("a", add_special_tokens=True)
    inner = [index for index, special in enumerate(encoding.special_tokens_mask) if not special]
    if not inner:
        return list(encoding.ids), []
    return encoding.ids[: inner[0]], encoding.ids[inner[-1] + 1 :]
