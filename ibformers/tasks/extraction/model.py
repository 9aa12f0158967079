"""Trained extraction model, and its files on disk (the `model_data` of a model package)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ibformers.models.base import quiet_transformers
from ibformers.tasks.extraction.decoding import FieldConstraint
from ibformers.tasks.extraction.features import Encoder, EncodingSettings
from ibformers.tasks.extraction.prediction import Predictor
from ibformers.tasks.extraction.results import entities

if TYPE_CHECKING:
    from pathlib import Path

    from ibformers.documents.document import Document

PIPELINE = "extraction"
_SETTINGS_FILE = "pipeline.json"
_TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class ExtractionModel:
    """A trained model: predictor and field names."""

    predictor: Predictor
    fields: tuple[str, ...]

    def entities(self, document: Document) -> list[dict[str, Any]]:
        """Return the words of every field, in reading order, as entities with character offsets."""
        return entities(document, self.predictor.predict(document), self.fields)

    def save(self, folder: Path) -> None:
        """Write settings, tokenizer, config and fp32 weights into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        encoder = self.predictor.encoder
        settings = {
            "pipeline": PIPELINE,
            "fields": list(self.fields),
            "uses_boxes": self.predictor.uses_boxes,
            "encoding": asdict(encoder.settings),
            "habits": [asdict(constraint) for constraint in self.predictor.constraints],
        }
        (folder / _SETTINGS_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")
        encoder.tokenizer.save(str(folder / _TOKENIZER_FILE))
        self.predictor.model.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> ExtractionModel:
        """Load a saved model. Raises OSError for missing files and ValueError for damaged ones."""
        from tokenizers import Tokenizer
        from transformers import AutoModelForTokenClassification

        settings = json.loads((folder / _SETTINGS_FILE).read_text(encoding="utf-8"))
        if settings.get("pipeline") != PIPELINE:
            raise ValueError(f"{folder}: the pipeline is {settings.get('pipeline')!r}, not {PIPELINE!r}.")
        quiet_transformers()
        model = AutoModelForTokenClassification.from_pretrained(folder, dtype="float32", local_files_only=True)
        encoder = Encoder(Tokenizer.from_file(str(folder / _TOKENIZER_FILE)), EncodingSettings(**settings["encoding"]))
        constraints = [FieldConstraint.from_json(constraint) for constraint in settings["habits"]]
        return cls(Predictor(model, encoder, constraints, uses_boxes=settings["uses_boxes"]), tuple(settings["fields"]))
