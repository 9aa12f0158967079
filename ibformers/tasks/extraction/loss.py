"""What a training minimises: each word judged on its own, and the words of a document held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from ibformers.tasks.extraction.batches import IGNORED
from ibformers.tasks.extraction.decoding import OUTSIDE

if TYPE_CHECKING:
    from torch import Tensor

RANKING_WEIGHT = 0.1
"""Share of the ranking beside the classification; three times as much gains nothing more."""

_NEVER = -1e4


def extraction_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over words, and over the places that each field may be at.

    The first knows nothing of a word's neighbours: among ten amounts it may call each one "no field", in a layout that
    training did not have. The second asks where in this chunk a field most likely is, which decoding asks as well.

    Args:
        logits: shape (batch, tokens, classes).
        labels: shape (batch, tokens); `IGNORED` for tokens that are not the first of a word.

    Returns:
        A scalar, the mean over words plus the weighted mean over the fields that the chunks have.
    """
    words = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)
    return words + RANKING_WEIGHT * _ranking_loss(logits.float(), labels)


def _ranking_loss(logits: Tensor, labels: Tensor) -> Tensor:
    margins = logits[..., OUTSIDE + 1 :] - logits[..., OUTSIDE : OUTSIDE + 1]
    is_word = (labels != IGNORED).unsqueeze(-1)
    places = margins.masked_fill(~is_word, _NEVER).log_softmax(dim=1)
    fields = torch.arange(OUTSIDE + 1, logits.shape[-1], device=labels.device)
    is_field = labels.unsqueeze(-1) == fields
    annotated = is_field.any(dim=1)
    right = places.masked_fill(~is_field, _NEVER).logsumexp(dim=1)
    # A batch of chunks without any field has nothing to rank.
    return -(right * annotated).sum() / annotated.sum().clamp(min=1)
