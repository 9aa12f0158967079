"""Model class that a model service loads for a text classifier; the packaged `model.py` subclasses it."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.registry.store import Version
from ibformers.tasks.text_classification.prediction import load_pipeline
from ibformers.tasks.text_classification.requests import ModelSettings

if TYPE_CHECKING:
    from transformers import Pipeline


class ServedClassifier:
    """Serve one model: call `load` once, `run` any number of times, and `cleanup` at the end.

    Args:
        model_data_path: folder `model_data` of the model package.
        ibsdk: reads drive files by `read_file(path) -> bytes`; only needed for requests without a document.
    """

    def __init__(self, model_data_path: str | Path, ibsdk: Any = None) -> None:
        self.model_data_path = Path(model_data_path)
        self.ibsdk = ibsdk
        self._pipeline: Pipeline | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model from its folder.

        Raises:
            RequestRefused: the model cannot be loaded.
        """
        folder = self.model_data_path
        settings = ModelSettings(path=folder.parent, model_name=folder.name)
        self._pipeline = load_pipeline(settings, Version("packaged", folder))

    def run(self, request: Any) -> dict[str, Any]:
        """Predict the label of a document's text.

        Args:
            request: has `input_path`, the path of the document, and `input_raw_data`: an object with `type` "ibdoc" and
                `data`, the JSON list of records. If that is None, the document is read from its path.

        Returns:
            `{"raw_data": {"type": "str", "data": ...}, "score": ...}`: the label in base64, and its probability.

        Raises:
            ValueError: the document is not valid.
        """
        text = self._text(request)
        with self._lock:
            if self._pipeline is None:
                self.load()
            assert self._pipeline is not None  # noqa: S101 - load either sets it or raises
            (best,) = self._pipeline(text, top_k=1)
        label = base64.b64encode(best["label"].encode()).decode()
        return {"raw_data": {"type": "str", "data": label}, "score": float(best["score"])}

    def cleanup(self) -> None:
        """Unload the model; a later `run` loads it again."""
        self._pipeline = None

    def _text(self, request: Any) -> str:
        path = str(getattr(request, "input_path", None) or "document")
        raw = getattr(request, "input_raw_data", None)
        if raw is None and self.ibsdk is None:
            raise ValueError(f"{path}: the request carries no document, and the model was given no way to read files.")
        content = self.ibsdk.read_file(path) if raw is None else raw.data
        try:
            records = json.loads(content)
            return "\n".join(str(records[index]["text"]) for index in range(max(len(records), 1)))
        except (ValueError, TypeError, LookupError):
            raise ValueError(f"{path}: not a JSON list of records, each with a text.") from None
