"""The table route: ``run_train`` on the rows of a database table; the model is served by ``model-service/run``.

Source: Instabase protocol, "Training jobs", "Model service" and "Text classification".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_ibmodels.engine.routes.base import DataFingerprint, RouteError, RunContext, TrainingState
from pytest_ibmodels.engine.routes.model_service import ModelServiceRoute
from pytest_ibmodels.instabase.errors import ApiError
from pytest_ibmodels.instabase.policy import RUN, is_transient
from pytest_ibmodels.instabase.wire import RawInput, RunRequest
from pytest_ibmodels.spec.databases import without_password
from pytest_ibmodels.verdicts.paired import NAME, check_better
from pytest_ibmodels.verdicts.predictions import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pydantic import SecretStr

    from pytest_ibmodels.spec import ModelTest, TableSpec
    from pytest_ibmodels.verdicts.checks import MetricCheck

_PROMOTE = "run_promote_table"
"""Name of the promoting function, in the module of the training function."""

_PARALLEL_CALLS = 4
_SLOW_SECONDS = 10.0
"""A model that takes longer for an answer is called once at a time, since further calls would only queue."""
_SLICE_SECONDS = 10.0


class TableRoute(ModelServiceRoute):
    """Trains on a database table. The object remembers which documents of its run were answered."""

    name: ClassVar[str] = "table"
    serves_with: ClassVar[str] = "served model"
    answer_seconds: ClassVar[float] = RUN.seconds + RUN.timeout
    writes_inputs: ClassVar[bool] = True

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self._requests: dict[str, RunRequest] = {}
        self._field = ""
        self._parallel_calls = 1

    @staticmethod
    def is_for(test: ModelTest) -> bool:
        return test.table is not None

    async def fingerprint(
        self,
        test: ModelTest,
        database: SecretStr | None,
        file_marker: Callable[[str], Awaitable[str]],  # noqa: ARG002 - of Route
    ) -> DataFingerprint:
        if database is None:
            return DataFingerprint(test.dataset)
        url = without_password(database.get_secret_value())
        return DataFingerprint(f"{test.dataset} of {hashlib.sha256(url.encode()).hexdigest()[:16]}")

    async def start_training(self, context: RunContext, test: ModelTest) -> str:
        table = _table(test)
        if context.database is None:
            raise ApiError("run_train", "this environment has no `database`")
        arguments: dict[str, Any] = {
            "hyperparams": test.config,
            "table": table.name,
            "columns": list(table.columns),
            "limit": table.limit,
            "p_of_train": table.p_of_train,
            "save_path": self.save_path(context, test),
            "model_name": self.model_name(context, test),
            "current_model": test.name,
            **table.side_column,
        }
        arguments["database"] = context.database.get_secret_value()
        return await self._run(context, context.package.table_function, test, arguments)

    def extra_checks(self, test: ModelTest, state: TrainingState) -> tuple[list[MetricCheck], list[str]]:
        table = _table(test)
        if table.max_drop is None:
            return [], []
        better = check_better(state.metrics, state.current, table.max_drop, state.comparison, table.undecided)
        if better is None:
            return [], [f"{NAME}: no model of this name is in use yet, so none was compared"]
        return [better], []

    async def start_inference(self, context: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        save_path = self.save_path(context, test)
        self._field = _table(test).columns[0]
        self._answers = {}
        inputs = await self.training_inputs(context, test)
        missing = [document for document in documents if document not in inputs]
        if missing:
            raise RouteError(f"inputs.json has no text of {missing[0]}, which has a prediction")
        self._requests = {
            document: RunRequest(
                model_name=self.model_name(context, test),
                input_path=f"{save_path}/{document}",
                input_raw_data=_record(inputs[document]),
                model_fs_path=f"{save_path}/saved_model",
            )
            for document in documents
        }
        # A job, since the first call loads the model, which takes longer than an answer may.
        return await context.client.models.start_run(self._requests[documents[0]])

    async def inference_answers(
        self, context: RunContext, job_id: str, documents: Sequence[str]
    ) -> Mapping[str, Answer] | None:
        if not self._answers:
            status = await context.client.jobs.status(job_id, kind="async")
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
            await asyncio.gather(*(self._ask(context, document) for document in remaining[: self._parallel_calls]))
            self._parallel_calls = _PARALLEL_CALLS if time.monotonic() - asked < _SLOW_SECONDS else 1
        return self._answers

    async def start_promotion(self, context: RunContext, test: ModelTest, *, force: bool) -> str:
        arguments: dict[str, Any] = {
            "save_path": self.save_path(context, test),
            "model_name": self.model_name(context, test),
        }
        if force:
            arguments["force"] = True
        function = f"{context.package.table_function.rpartition('.')[0]}.{_PROMOTE}"
        return await self._run(context, function, test, arguments)

    async def _run(self, context: RunContext, function: str, test: ModelTest, arguments: dict[str, Any]) -> str:
        return await self.run_train(context, function, arguments, use_gpu=not test.config.get("use_cpu"))

    async def _ask(self, context: RunContext, document: str) -> None:
        try:
            answer = self._answer(await context.client.models.run(self._requests[document]))
        except ApiError as error:
            if is_transient(error):
                raise
            answer = Answer({}, context.client.transport.redact(error.reason))
        self._answers[document] = answer

    def _answer(self, result: Mapping[str, Any]) -> Answer:
        try:
            label = base64.b64decode(result["raw_data"]["data"], validate=True).decode()
        except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
            return Answer({}, f"the model's answer holds no label (raw_data): {json.dumps(dict(result)):.80}")
        return Answer({self._field: label})


def _table(test: ModelTest) -> TableSpec:
    assert test.table is not None  # noqa: S101 - see TableRoute.is_for
    return test.table


def _record(text: str) -> RawInput:
    """A document with one record, without the boxes of its words."""
    record = {"text": text, "lines": [[] for _ in text.split("\n")]}
    return RawInput(type="ibdoc", data=base64.b64encode(json.dumps([record]).encode()).decode())
