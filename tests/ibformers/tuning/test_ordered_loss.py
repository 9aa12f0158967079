"""The loss of ordered labels: a near miss costs less than a far one."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import torch

from ibformers.tasks.text_classification.training import OrderedLoss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LABELS = 5


def ordered_loss(*, training: bool = True) -> OrderedLoss:
    return OrderedLoss(LABELS, cast("PreTrainedModel", SimpleNamespace(training=training)))


def cost(loss: OrderedLoss, predicted: int, right: int) -> float:
    logits = 4.0 * torch.nn.functional.one_hot(torch.tensor([predicted]), LABELS)
    return float(loss({"logits": logits}, torch.tensor([right])))


@pytest.mark.parametrize("right", range(LABELS))
def test_the_farther_the_dearer(right: int) -> None:
    loss = ordered_loss()
    costs = sorted((abs(predicted - right), cost(loss, predicted, right)) for predicted in range(LABELS))
    for (near, less), (far, more) in itertools.pairwise(costs):
        assert less == pytest.approx(more) if near == far else less < more


def test_the_best_outputs_say_the_right_label() -> None:
    logits = torch.zeros(LABELS, LABELS, requires_grad=True)
    loss, right = ordered_loss(), torch.arange(LABELS)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss({"logits": logits}, right).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    scores = logits.detach().softmax(dim=1)
    assert scores.argmax(dim=1).tolist() == right.tolist()
    # Each neighbour has half of the right label's share, as the documents say, and labels two off have a fifteenth.
    assert float(scores[2, 1] / scores[2, 2]) == pytest.approx(0.51, abs=0.02)
    assert float(scores[2, 0] / scores[2, 2]) == pytest.approx(0.07, abs=0.02)


def test_evaluations_have_the_plain_cross_entropy() -> None:
    logits, right = torch.randn(8, LABELS), torch.arange(8) % LABELS
    loss = ordered_loss(training=False)
    plain = torch.nn.functional.cross_entropy(logits, right)
    torch.testing.assert_close(loss({"logits": logits}, right), plain)


def test_accumulated_batches_share_one_mean() -> None:
    logits, right = torch.randn(8, LABELS), torch.arange(8) % LABELS
    loss = ordered_loss()
    halves = [loss({"logits": logits[half]}, right[half], 8) for half in (slice(4), slice(4, 8))]
    torch.testing.assert_close(sum(halves), loss({"logits": logits}, right))
