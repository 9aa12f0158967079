"""Loss of extraction: classification of each word, and ranking of the words of a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from ibformers.tasks.extraction.batches import IGNORED
from ibformers.tasks.extraction.decoding import OUTSIDE

if TYPE_CHECKING:
    from torch import Tensor

RANKING_WEIGHT = 0.1
"""Weight of the ranking loss; three times as much gains nothing."""

_NEVER = -1e4


def extraction_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy over words plus the cross entropy over the locations of each field.

    The first term ignores the neighbours of a word: in an unknown layout it may classify each of ten amounts as "no
    field". The second term asks where in the chunk a field is most likely, which decoding asks as well.

    Args:
        logits: shape (batch, tokens, classes).
        labels: shape (batch, tokens); `IGNORED` for tokens that are not the first of a word.

    Returns:
        Scalar: the mean over words plus the weighted mean over the fields of the chunks.
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
    # A batch without any field has nothing to rank.
    return -(right * annotated).sum() / annotated.sum().clamp(min=1)
