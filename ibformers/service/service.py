"""Service of an environment that keeps one process for override, rollback, predict and models requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.databases.catalogue import describe_table, list_tables
from ibformers.databases.rows import DatabaseRows
from ibformers.errors import RequestRefused
from ibformers.service.operations import Tuning, list_models, settings_with_path
from ibformers.tasks.text_classification.batch_size import expected_batch_sizes
from ibformers.tasks.text_classification.prediction import Predictor, as_json
from ibformers.tasks.text_classification.requests import BatchSizesRequest, TablesRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

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
        """Run an operation on one model, or another one.

        Those on a model are `check`, `override`, `rollback`, `discard`, `show` and `predict`; the others `models`,
        `tables`, `arguments` and `batch_sizes`. `check` refuses a train request that a training would refuse before it
        loads a model or reads rows.

        Args:
            operation: name of the operation.
            settings: settings of the model, without `path`; empty for operations without a model.
            request: request of the operation; empty for `show`, `models` and `arguments`.

        Returns:
            The operation's answer as plain JSON.

        Raises:
            TuningError: the operation did nothing; `user_message` says why.
        """
        without_model: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "models": lambda _: [answer.model_dump(mode="json") for answer in list_models(self._models)],
            "tables": show_tables,
            "arguments": lambda _: list_arguments(),
            "batch_sizes": choose_batch_sizes,
        }
        if operation in without_model:
            return without_model[operation](request)
        settings = settings_with_path(self._models, settings)
        if operation == "predict":
            return as_json(self._predictor(settings).predict(request))
        tuning = Tuning(settings, DatabaseRows("sqlite://"))
        of_model: dict[str, Callable[[], BaseModel | None]] = {
            "check": lambda: tuning.check(request),
            "override": lambda: tuning.override(request),
            "rollback": lambda: tuning.rollback(request),
            "discard": lambda: tuning.discard(request),
            "show": tuning.show,
        }
        if operation not in of_model:
            known = ", ".join([*of_model, "predict", *without_model])
            raise RequestRefused(f"There is no operation {operation!r}: there are {known}.")
        answer = of_model[operation]()
        return None if answer is None else answer.model_dump(mode="json")

    def _predictor(self, settings: dict[str, Any]) -> Predictor:
        key = json.dumps(settings, sort_keys=True, default=str)
        predictor = self._predictors.pop(key, None) or Predictor(settings)
        self._predictors[key] = predictor
        while len(self._predictors) > MAX_LOADED:
            del self._predictors[next(iter(self._predictors))]
        return predictor


def show_tables(request: TablesRequest | Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a database, or the columns of one of them, see `TablesAnswer`.

    Raises:
        RequestRefused: the request is wrong, or there is no such table.
        DatabaseUnavailable: the database cannot be read.
    """
    asked = TablesRequest.of(request)
    rows = DatabaseRows(asked.database)
    answer = list_tables(rows) if asked.table is None else describe_table(rows, asked.table)
    return answer.model_dump(mode="json")


def list_arguments() -> list[dict[str, Any]]:
    """Return the arguments that a train request may have, with their defaults, see `ArgumentAnswer`."""
    from ibformers.tasks.text_classification.argument_help import describe_arguments

    return [answer.model_dump(mode="json") for answer in describe_arguments()]


def choose_batch_sizes(request: BatchSizesRequest | Mapping[str, Any]) -> dict[str, int]:
    """Return the batch sizes that a training is expected to choose by itself, by `train` and `test`.

    Raises:
        RequestRefused: the request is wrong.
    """
    asked = BatchSizesRequest.of(request)
    return expected_batch_sizes(asked.rows, asked.p_of_train)
