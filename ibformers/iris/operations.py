"""Business Operations: one tunes a model, the other serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iop import BusinessOperation

from ibformers.databases.rows import DatabaseRows
from ibformers.errors import RequestRefused, TuningError
from ibformers.iris.log import production_log
from ibformers.iris.messages import (
    MLRequest,
    MLResponse,
    OverrideRequest,
    OverrideResponse,
    Response,
    RollbackRequest,
    RollbackResponse,
    TrainRequest,
    TrainResponse,
)
from ibformers.iris.rows import IrisRows, iris_sql
from ibformers.iris.settings import database_url, given_settings, model_settings
from ibformers.service.operations import Tuning
from ibformers.tasks.text_classification.prediction import Predictor, as_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibformers.databases.rows import RowSource
    from ibformers.tasks.text_classification.requests import ModelSettings


class _Operation(BusinessOperation):
    def on_init(self) -> None:
        """Log a wrong setting at the start; each request is answered with the same message."""
        try:
            self._settings()
        except TuningError as error:
            self.log_error(error.user_message)

    def _settings(self) -> ModelSettings:
        return model_settings(given_settings(self))

    def _reply(self, kind: type[Response], act: Callable[[], dict[str, Any]]) -> Response:
        """Return a response with the result of `act`, or with its error message."""
        with production_log(self):
            try:
                return kind(**act())
            except TuningError as error:
                self.log_error(error.user_message)
                return kind(error=error.user_message, field=error.field or None)


class TuningOperation(_Operation):
    """Fine-tune a copy of a model on the rows of a table, which becomes the candidate, and override or roll back.

    Answers TrainRequest, OverrideRequest and RollbackRequest. The settings are those of the model, and `database`.
    """

    def on_message(self, request: Any) -> Response:
        """Answer a request."""
        match request:
            case TrainRequest():
                return self._reply(TrainResponse, lambda: self._train(request.given))
            case OverrideRequest():
                return self._reply(OverrideResponse, lambda: self._override(request.given))
            case RollbackRequest():
                return self._reply(RollbackResponse, lambda: self._rollback(request.given))
            case _:
                return self._reply(Response, lambda: _refuse(request, TrainRequest, OverrideRequest, RollbackRequest))

    def _train(self, given: dict[str, Any]) -> dict[str, Any]:
        answer = self._tuning().train(given)
        self.log_info(answer.message)
        return answer.model_dump(mode="json", exclude={"predictions"})

    def _override(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._tuning().override(given).model_dump(mode="json")

    def _rollback(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._tuning().rollback(given).model_dump(mode="json")

    def _tuning(self) -> Tuning:
        return Tuning(self._settings(), self._rows())

    def _rows(self) -> RowSource:
        url = database_url(given_settings(self))
        return DatabaseRows(url) if url else IrisRows(iris_sql)


class MLOperation(_Operation):
    """Answer MLRequest with the model in use. The settings are those of the model; each model is an item of its own.

    The first request after an override or a rollback loads the other model.
    """

    _predictor: Predictor | None = None

    def on_message(self, request: Any) -> Response:
        """Answer a request."""
        match request:
            case MLRequest():
                return self._reply(MLResponse, lambda: self._predict(request.given))
            case _:
                return self._reply(Response, lambda: _refuse(request, MLRequest))

    def _predict(self, given: dict[str, Any]) -> dict[str, Any]:
        if self._predictor is None:
            self._predictor = Predictor(self._settings())
        outputs = self._predictor.predict(given)
        return {"outputs": as_json(outputs), "version": self._predictor.version}


def _refuse(request: Any, *accepted: type) -> dict[str, Any]:
    names = " or ".join(f"{kind.__module__}.{kind.__name__}" for kind in accepted)
    raise RequestRefused(f"A message of class {type(request).__name__} is not for this operation: send {names}.")
