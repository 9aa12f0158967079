"""Prediction of a document, shared by metrics, predictions.json and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ibformers.tasks.extraction.decoding import OUTSIDE, decode
from ibformers.tasks.extraction.features import central_chunks, on_grid
from ibformers.tasks.extraction.priors import line_edges
from ibformers.trainer.hardware import prediction_threads, threads_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from ibformers.documents.document import Document
    from ibformers.tasks.extraction.decoding import FieldConstraint, WordPredictions
    from ibformers.tasks.extraction.features import Chunk, Encoder


class Predictor:
    """Predictor of single documents, in fp32 on the CPU, without padding.

    Batches, padding and lower precision change the last bits of a score, and now and then a word. Here a document has
    the same words and scores in every process of a machine, alone and in a list (`map_in_threads`). Thread-safe.
    """

    def __init__(
        self, model: PreTrainedModel, encoder: Encoder, constraints: Sequence[FieldConstraint], *, uses_boxes: bool
    ) -> None:
        self.constraints = tuple(constraints)
        self.model = model.cpu().float().eval()  # type: ignore[no-untyped-call]
        self.encoder = encoder
        self.uses_boxes = uses_boxes

    def predict(self, document: Document) -> WordPredictions:
        """Predict the class of every word; a word in several chunks is predicted by its most central chunk."""
        chunks = self.encoder.encode(document)
        count = len(document.words)
        chosen = central_chunks([(chunk.first_word, chunk.end_word) for chunk in chunks], count)
        probabilities = np.zeros((count, 1 + len(self.constraints)))
        probabilities[:, OUTSIDE] = 1.0
        for number, chunk in enumerate(chunks):
            words = np.flatnonzero(chosen[chunk.first_word : chunk.end_word] == number)
            probabilities[chunk.first_word + words] = self._probabilities(chunk)[words]
        return decode(probabilities, self.constraints, line_edges(document))

    def _probabilities(self, chunk: Chunk) -> NDArray[np.float64]:
        import torch

        inputs = {"input_ids": torch.from_numpy(chunk.input_ids)[None]}
        if self.uses_boxes:
            inputs["bbox"] = torch.from_numpy(on_grid(chunk.boxes, self.encoder.settings.box_grid))[None]
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.inference_mode(), prediction_threads(threads_for(len(chunk.input_ids))):
            logits = self.model(**inputs).logits[0, torch.from_numpy(chunk.first_tokens)]
            result: NDArray[np.float64] = logits.double().softmax(dim=-1).numpy()
        return result
