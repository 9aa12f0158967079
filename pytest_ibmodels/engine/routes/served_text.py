"""The part of routes whose model answers texts: inference by ``model-service/run``, with the text in the request.

Source: Instabase protocol, "Model service" and "Text classification".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_ibmodels.engine.routes.base import RouteError, RunContext
from pytest_ibmodels.engine.routes.model_service import ModelServiceRoute, parse_inputs
from pytest_ibmodels.instabase.errors import ApiError
from pytest_ibmodels.instabase.policy import RUN, is_transient
from pytest_ibmodels.instabase.wire import RawInput, RunRequest
from pytest_ibmodels.verdicts.paired import NAME, check_better
from pytest_ibmodels.verdicts.predictions import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ibmodels.engine.routes.base import TrainingState
    from pytest_ibmodels.spec import ModelTest, ScriptSpec, TableSpec
    from pytest_ibmodels.verdicts.checks import MetricCheck

_PARALLEL_CALLS = 4
_SLOW_SECONDS = 10.0
"""A model that takes longer for an answer is called once at a time, since further calls would only queue."""
_SLICE_SECONDS = 10.0


class ServedTextRoute(ModelServiceRoute):
    """Base of the routes whose model answers a text. The object remembers which documents of its run were answered."""

    serves_with: ClassVar[str] = "served model"
    answer_seconds: ClassVar[float] = RUN.seconds + RUN.timeout
    writes_inputs: ClassVar[bool] = True

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self._requests: dict[str, RunRequest] = {}
        self._field = ""
        self._parallel_calls = 1

    def field(self, test: ModelTest) -> str:
        """Field of the predictions that the model answers with."""
        raise NotImplementedError

    async def start_inference(self, context: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        save_path = self.save_path(context, test)
        self._field = self.field(test)
        self._answers = {}
        inputs = parse_inputs(await context.client.drive.read(f"{save_path}/inputs.json"))
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

    async def _train(self, context: RunContext, function: str, test: ModelTest, arguments: dict[str, Any]) -> str:
        return await self.run_train(context, function, arguments, use_gpu=_uses_gpu(test), test=test)

    async def _promote(self, context: RunContext, function: str, test: ModelTest, *, force: bool) -> str:
        """Start the function that promotes the trained model."""
        arguments: dict[str, Any] = {
            "save_path": self.save_path(context, test),
            "model_name": self.model_name(context, test),
        }
        if force:
            arguments["force"] = True
        return await self.run_train(context, function, arguments, use_gpu=_uses_gpu(test))

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


def _uses_gpu(test: ModelTest) -> bool:
    return not test.config.get("use_cpu")


def better_checks(limits: TableSpec | ScriptSpec, state: TrainingState) -> tuple[list[MetricCheck], list[str]]:
    """Check `better_than_current`, if the model test has it, and the note that there is nothing to compare with."""
    if limits.max_drop is None:
        return [], []
    better = check_better(state.metrics, state.current, limits.max_drop, state.comparison, limits.undecided)
    if better is None:
        return [], [f"{NAME}: no model of this name is in use yet, so none was compared"]
    return [better], []


def _record(text: str) -> RawInput:
    """A document with one record, without the boxes of its words."""
    record = {"text": text, "lines": [[] for _ in text.split("\n")]}
    return RawInput(type="ibdoc", data=base64.b64encode(json.dumps([record]).encode()).decode())
