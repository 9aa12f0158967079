"""The one way from a document to its fields, used for metrics, for predictions.json and for serving alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ibformers.tasks.extraction.features import central_chunks, on_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from ibformers.documents.document import Document
    from ibformers.tasks.extraction.features import Chunk, Encoder


@dataclass(frozen=True, slots=True)
class WordPredictions:
    """What a model says about every word of a document.

    Attributes:
        classes: shape (words,): 0 is no field, 1 the first field.
        scores: shape (words,): probability of that class, 0..1.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float64]


class Predictor:
    """Predicts documents one at a time, in fp32 on the CPU, without padding.

    Batched, padded or lower-precision arithmetic differs in the last bits, and now and then in a word. So there is one
    way only: a document gives the same words and scores whatever else is predicted, and wherever the model is loaded.
    """

    def __init__(self, model: PreTrainedModel, encoder: Encoder, *, uses_boxes: bool) -> None:
        self.model = model.cpu().float().eval()  # type: ignore[no-untyped-call]
        self.encoder = encoder
        self.uses_boxes = uses_boxes

    def predict(self, document: Document) -> WordPredictions:
        """Predict the class of every word: of words in several chunks, by the chunk in which they are most central."""
        chunks = self.encoder.encode(document)
        count = len(document.words)
        chosen = central_chunks([(chunk.first_word, chunk.end_word) for chunk in chunks], count)
        classes, scores = np.zeros(count, dtype=np.int64), np.ones(count)
        for number, chunk in enumerate(chunks):
            probabilities = self._probabilities(chunk)
            words = np.flatnonzero(chosen[chunk.first_word : chunk.end_word] == number)
            classes[chunk.first_word + words] = probabilities[words].argmax(axis=1)
            scores[chunk.first_word + words] = probabilities[words].max(axis=1)
        return WordPredictions(classes, scores)

    def _probabilities(self, chunk: Chunk) -> NDArray[np.float64]:
        import torch

        inputs = {"input_ids": torch.from_numpy(chunk.input_ids)[None]}
        if self.uses_boxes:
            inputs["bbox"] = torch.from_numpy(on_grid(chunk.boxes, self.encoder.settings.box_grid))[None]
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.inference_mode():
            logits = self.model(**inputs).logits[0, torch.from_numpy(chunk.first_tokens)]
            result: NDArray[np.float64] = logits.double().softmax(dim=-1).numpy()
        return result
