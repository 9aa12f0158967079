"""The table route: ``run_train`` on the rows of a database table, the model packaged beside its predictions and served.

It uses the calls of the Annotator route, and ``model-service/run`` in place of a Refiner program: protocol, sections 3
and 4. Metrics have the form of classification (11.4), and so has the served model's answer (4.2).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import quote

from pytest_ibmodels.engine.routes.annotator import parse_predictions, training_state
from pytest_ibmodels.engine.routes.base import (
    RouteError,
    RunContext,
    TrainingState,
)
from pytest_ibmodels.instabase.answers import loads
from pytest_ibmodels.instabase.errors import ApiError
from pytest_ibmodels.instabase.policy import RUN, is_transient
from pytest_ibmodels.instabase.wire import RawInput, RunRequest, TrainRequest
from pytest_ibmodels.verdicts.predictions import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ibmodels.spec import ModelTest, TableSpec

_PROMOTE = "run_promote_table"
"""Beside the function that trains."""

_AT_ONCE = 4
_SLOW_SECONDS = 10.0
"""A model that needs longer for an answer is asked one thing at a time: further calls would wait for it to be free."""
_SLICE_SECONDS = 10.0


class TableRoute:
    """One run's: it remembers which documents were answered."""

    name: ClassVar[str] = "table"
    answer_seconds: ClassVar[float] = RUN.seconds + RUN.timeout

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self._requests: dict[str, RunRequest] = {}
        self._field = ""
        self._at_once = 1

    def pages(self, place: RunContext, test: ModelTest, job_id: str) -> Mapping[str, str]:  # noqa: ARG002 - as the others
        return {"job log": f"{place.client.transport.host.rstrip('/')}/classifier/logs/{quote(job_id, safe='')}"}

    def model_name(self, place: RunContext, test: ModelTest) -> str:
        return f"{test.name}_{place.suffix}"

    async def start(self, place: RunContext, test: ModelTest) -> str:
        table = _table(test)
        if place.database is None:
            raise ApiError("run_train", "this environment has no `database`")
        arguments: dict[str, Any] = {
            "hyperparams": test.config,
            "table": table.name,
            "columns": list(table.columns),
            "limit": table.limit,
            "p_of_train": table.p_of_train,
            "save_path": self._save_path(place, test),
            "model_name": self.model_name(place, test),
            "current_model": test.name,
            **table.side_column,
        }
        arguments["database"] = place.database.get_secret_value()
        return await self._run(place, place.package.table_function, test, arguments)

    async def started(self, place: RunContext, test: ModelTest) -> list[str]:
        return await place.client.jobs.named(self.model_name(place, test))

    async def look(self, place: RunContext, job_id: str) -> TrainingState:
        return training_state(await place.client.jobs.status(job_id, kind="async"))

    async def training_predictions(self, place: RunContext, test: ModelTest) -> Mapping[str, Mapping[str, str]]:
        return parse_predictions(await place.client.drive.read(f"{self._save_path(place, test)}/predictions.json"))

    async def start_inference(self, place: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        save_path = self._save_path(place, test)
        self._field = _table(test).columns[0]
        self._answers = {}
        inputs = _texts(await place.client.drive.read(f"{save_path}/inputs.json"))
        missing = [document for document in documents if document not in inputs]
        if missing:
            raise RouteError(f"inputs.json has no text of {missing[0]}, which has a prediction")
        self._requests = {
            document: RunRequest(
                model_name=self.model_name(place, test),
                input_path=f"{save_path}/{document}",
                input_raw_data=_record(inputs[document]),
                model_fs_path=f"{save_path}/saved_model",
            )
            for document in documents
        }
        # A job, since it loads the model first, which takes longer than an answer may.
        return await place.client.models.start_run(self._requests[documents[0]])

    async def inference_answers(
        self, place: RunContext, job_id: str, documents: Sequence[str]
    ) -> Mapping[str, Answer] | None:
        if not self._answers:
            status = await place.client.jobs.status(job_id, kind="async")
            if not status.is_over:
                return None
            if status.failure:
                raise RouteError(status.failure)
            self._answers[documents[0]] = self._answer(status.first_result)
        until = time.monotonic() + _SLICE_SECONDS
        while remaining := [document for document in documents if document not in self._answers]:
            if time.monotonic() > until:
                return None
            asked = time.monotonic()
            await asyncio.gather(*(self._ask(place, document) for document in remaining[: self._at_once]))
            self._at_once = _AT_ONCE if time.monotonic() - asked < _SLOW_SECONDS else 1
        return self._answers

    async def leave(self, place: RunContext, test: ModelTest) -> None:
        await place.client.models.unload(self.model_name(place, test))

    async def start_promotion(self, place: RunContext, test: ModelTest, *, force: bool) -> str:
        arguments: dict[str, Any] = {
            "save_path": self._save_path(place, test),
            "model_name": self.model_name(place, test),
        }
        if force:
            arguments["force"] = True
        function = f"{place.package.table_function.rpartition('.')[0]}.{_PROMOTE}"
        return await self._run(place, function, test, arguments)

    async def _run(self, place: RunContext, function: str, test: ModelTest, arguments: dict[str, Any]) -> str:
        return await place.client.models.train(
            TrainRequest(
                script_packages=[f"{place.folder}/{place.package.module}"],
                function=function,
                arguments=arguments,
                device_type="cpu" if test.config.get("use_cpu") else "gpu",
            )
        )

    async def _ask(self, place: RunContext, document: str) -> None:
        try:
            answer = self._answer(await place.client.models.run(self._requests[document]))
        except ApiError as error:
            if is_transient(error):
                raise
            answer = Answer({}, place.client.transport.redact(error.reason))
        self._answers[document] = answer

    def _answer(self, result: Mapping[str, Any]) -> Answer:
        try:
            label = base64.b64decode(result["raw_data"]["data"], validate=True).decode()
        except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
            return Answer({}, f"the model's answer holds no label (raw_data): {json.dumps(dict(result)):.80}")
        return Answer({self._field: label})

    def _save_path(self, place: RunContext, test: ModelTest) -> str:
        return f"{place.folder}/save_location/{self.model_name(place, test)}"


def _table(test: ModelTest) -> TableSpec:
    assert test.table is not None  # noqa: S101 - the engine chooses this route by it
    return test.table


def _record(text: str) -> RawInput:
    """A document of one record, whose words nobody has boxes for."""
    record = {"text": text, "lines": [[] for _ in text.split("\n")]}
    return RawInput(type="ibdoc", data=base64.b64encode(json.dumps([record]).encode()).decode())


def _texts(content: bytes) -> dict[str, str]:
    try:
        return {str(document): str(text) for document, text in dict(cast("Any", loads(content))).items()}
    except (ValueError, TypeError) as error:
        raise RouteError(f"inputs.json is no JSON object of texts: {error}") from None
