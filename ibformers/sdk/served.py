"""Model class that a model service loads for a trainer's model; the packaged `model.py` subclasses it."""

from __future__ import annotations

import base64
import importlib
import json
from pathlib import Path
from typing import Any

from ibformers.errors import TrainingInputError
from ibformers.sdk.files import MODEL, TRAINER, load_model
from ibformers.sdk.places import place_in_traceback, reason
from ibformers.sdk.values import as_text


class ServedTrainer:
    """Serve one model with the `load` of its trainer's module.

    Args:
        model_data_path: folder `model_data` of the model package.
        ibsdk: reads drive files by `read_file(path) -> bytes`, for requests without a document.
    """

    def __init__(self, model_data_path: str | Path, ibsdk: Any = None) -> None:
        self._folder = Path(model_data_path)
        self._ibsdk = ibsdk
        self._described = json.loads((self._folder / TRAINER).read_text(encoding="utf-8"))
        self._module = str(self._described["module"])
        self._predict: Any = None

    def load(self) -> None:
        """Load the model from its folder. Raises: TrainingInputError."""
        importlib.import_module(self._module)
        self._predict = load_model(self._module, self._folder / MODEL)

    def run(self, request: Any) -> dict[str, Any]:
        """Predict for the text of a document: `{"raw_data": {"type": "str", "data": ...}}`, the prediction in base64.

        Raises:
            TrainingInputError: As :meth:`answer`.
        """
        answer = base64.b64encode(self.answer(request).encode()).decode()
        return {"raw_data": {"type": "str", "data": answer}}

    def answer(self, request: Any) -> str:
        """Return the prediction for a request as a text.

        Raises:
            TrainingInputError: The trainer's function raised, or returned something else than one value.
        """
        if self._predict is None:
            self.load()
        raw = getattr(request, "input_raw_data", None)
        content = raw.data if raw is not None else self._ibsdk.read_file(request.input_path)
        text = "\n".join(record["text"] for record in json.loads(content))
        try:
            predicted = self._predict(text if self._described["inputs"] == "text" else json.loads(text))
        except Exception as error:  # noqa: BLE001 - the trainer's own code
            where = place_in_traceback(self._module, error.__traceback__, self._module)
            told = reason(error, self._folder / MODEL)
            raise TrainingInputError(f"{where}: the loaded model failed: {told}.") from None
        try:
            return as_text(predicted)
        except ValueError as error:
            raise TrainingInputError(f"{self._module}: the prediction of the loaded model is {error}.") from None

    def cleanup(self) -> None:
        """Unload the model; a later `run` loads it again."""
        self._predict = None
