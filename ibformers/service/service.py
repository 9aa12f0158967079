"""The operations beside training, for an environment that keeps one process for them: models stay warm in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.databases.rows import DatabaseRows
from ibformers.errors import RequestRefused
from ibformers.service.operations import Tuning, list_models
from ibformers.tasks.text_classification.prediction import Predictor
from ibformers.tasks.text_classification.requests import RollbackRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_LOADED = 8
"""So many models stay loaded; the one that was asked longest ago goes first."""


class TuningService:
    """Answers requests for the models of one folder.

    Args:
        models_path: the folder of models; it is made if it is not there.
    """

    def __init__(self, models_path: str | Path) -> None:
        self._models = Path(models_path)
        self._models.mkdir(parents=True, exist_ok=True)
        self._predictors: dict[str, Predictor] = {}

    def answer(self, operation: str, settings: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
        """Do one of `override`, `rollback`, `predict` and `models`.

        Args:
            operation: its name.
            settings: of the model, without `path`; `models` takes none.
            request: that of the operation; `rollback` and `models` take an empty one.

        Returns:
            The operation's answer as plain JSON.

        Raises:
            TuningError: it was not done; the sentence says why.
        """
        if operation == "models":
            return [answer.model_dump(mode="json") for answer in list_models(self._models)]
        settings = settings_in(self._models, settings)
        if operation == "predict":
            return json.loads(json.dumps(self._predictor(settings).predict(request), default=_as_json))
        tuning = Tuning(settings, DatabaseRows("sqlite://"))
        if operation == "override":
            return tuning.override(request).model_dump(mode="json")
        if operation == "rollback":
            RollbackRequest.of(request)
            return tuning.rollback().model_dump(mode="json")
        raise RequestRefused(f"There is no operation {operation!r}: there are override, rollback, predict, models.")

    def _predictor(self, settings: dict[str, Any]) -> Predictor:
        key = json.dumps(settings, sort_keys=True, default=str)
        predictor = self._predictors.pop(key, None) or Predictor(settings)
        self._predictors[key] = predictor
        while len(self._predictors) > MOST_LOADED:
            del self._predictors[next(iter(self._predictors))]
        return predictor


def settings_in(models: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a model in an environment's folder of models.

    Raises:
        RequestRefused: they name another folder.
    """
    if "path" in settings:
        raise RequestRefused("Setting path: the environment has its own folder of models: leave it out.", "path")
    return {**settings, "path": str(models)}


def _as_json(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
