"""Service of an environment that keeps one process for override, rollback, predict and models requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.databases.rows import DatabaseRows
from ibformers.errors import RequestRefused
from ibformers.service.operations import Tuning, list_models, settings_with_path
from ibformers.tasks.text_classification.prediction import Predictor, as_json
from ibformers.tasks.text_classification.requests import RollbackRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LOADED = 8
"""Models that stay loaded; the least recently used one is unloaded first."""


class TuningService:
    """Answer requests for the models of one folder; models stay loaded between requests.

    Args:
        models_path: the folder of models; it is created if it is missing.
    """

    def __init__(self, models_path: str | Path) -> None:
        self._models = Path(models_path)
        self._models.mkdir(parents=True, exist_ok=True)
        self._predictors: dict[str, Predictor] = {}

    def answer(self, operation: str, settings: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
        """Run one of `override`, `rollback`, `predict` and `models`.

        Args:
            operation: name of the operation.
            settings: settings of the model, without `path`; empty for `models`.
            request: request of the operation; empty for `rollback` and `models`.

        Returns:
            The operation's answer as plain JSON.

        Raises:
            TuningError: the operation did nothing; `user_message` says why.
        """
        if operation == "models":
            return [answer.model_dump(mode="json") for answer in list_models(self._models)]
        settings = settings_with_path(self._models, settings)
        if operation == "predict":
            return as_json(self._predictor(settings).predict(request))
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
        while len(self._predictors) > MAX_LOADED:
            del self._predictors[next(iter(self._predictors))]
        return predictor
