"""The loss of an extraction: words judged alone, and a field's place among the words of its chunk."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from ibformers.tasks.extraction.batches import IGNORED
from ibformers.tasks.extraction.loss import RANKING_WEIGHT, extraction_loss


def word_loss(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return float(cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED))


def test_a_field_is_ranked_among_the_words_of_its_chunk() -> None:
    # One field, three words; the special token's score is the highest and must not count.
    labels = torch.tensor([[IGNORED, 0, 1, 0]])
    logits = torch.tensor([[[0.0, 9.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]])
    place = float(torch.tensor([1.0, 2.0, 3.0]).softmax(0)[1].log())
    assert float(extraction_loss(logits, labels)) == pytest.approx(word_loss(logits, labels) - RANKING_WEIGHT * place)


def test_all_words_of_a_field_are_right_places() -> None:
    labels = torch.tensor([[1, 1, 0]])
    logits = torch.tensor([[[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]])
    places = torch.tensor([1.0, 2.0, 3.0]).softmax(0)
    expected = word_loss(logits, labels) - RANKING_WEIGHT * float((places[0] + places[1]).log())
    assert float(extraction_loss(logits, labels)) == pytest.approx(expected)


def test_chunks_without_a_field_have_nothing_to_rank() -> None:
    labels = torch.tensor([[0, 0, IGNORED], [2, 0, 0]])
    logits = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1))
    only_second = extraction_loss(logits[1:], labels[1:])
    ranking = float(only_second) - word_loss(logits[1:], labels[1:])
    assert float(extraction_loss(logits, labels)) == pytest.approx(word_loss(logits, labels) + ranking)
    nothing = extraction_loss(logits[:1], labels[:1])
    assert float(nothing) == pytest.approx(word_loss(logits[:1], labels[:1]))


def test_its_gradient_is_finite_in_half_precision() -> None:
    labels = torch.tensor([[IGNORED, 0, 1, 0]])
    logits = (50 * torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(1))).bfloat16().requires_grad_()
    extraction_loss(logits, labels).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
