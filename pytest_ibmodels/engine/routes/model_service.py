"""The part that routes share: training jobs of the model service, with ``predictions.json`` beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import quote

from pydantic import ValidationError

from pytest_ibmodels.engine.curves import reported_history
from pytest_ibmodels.engine.placement import reported_placement
from pytest_ibmodels.engine.routes.base import RouteError, RunContext, TrainingState
from pytest_ibmodels.instabase.answers import loads
from pytest_ibmodels.instabase.errors import UnexpectedAnswer
from pytest_ibmodels.instabase.training_files import DocumentPrediction, Prediction
from pytest_ibmodels.instabase.wire import JobStatus, Resources, TrainingStatus, TrainRequest
from pytest_ibmodels.verdicts.metrics import one_value_as_field
from pytest_ibmodels.verdicts.reported import count, finite
from pytest_ibmodels.verdicts.results import TrainingPredictions, WrongPrediction, field_result, is_right
from pytest_ibmodels.verdicts.wrong import cut, worst_first

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.checks import MetricCheck
    from pytest_ibmodels.verdicts.results import FieldResult


class ModelServiceRoute:
    """Base of the routes that train by ``model-service/run_train``."""

    answer_seconds: ClassVar[float] = 0.0
    writes_inputs: ClassVar[bool] = False
    """Whether training writes ``inputs.json`` beside ``predictions.json``."""

    def pages(self, context: RunContext, test: ModelTest, job_id: str) -> Mapping[str, str]:  # noqa: ARG002 - of Route
        # Pages for browsers are outside /api/v1 (Instabase protocol, "Jobs").
        return {"job log": f"{context.client.transport.host.rstrip('/')}/classifier/logs/{quote(job_id, safe='')}"}

    def model_name(self, context: RunContext, test: ModelTest) -> str:
        return f"{test.name}_{context.suffix}"

    def save_path(self, context: RunContext, test: ModelTest) -> str:
        """The folder of the trained model; named like the model, since entries of two files may share a name."""
        return f"{context.folder}/save_location/{self.model_name(context, test)}"

    async def training_jobs(self, context: RunContext, test: ModelTest) -> list[str]:
        return await context.client.jobs.named(self.model_name(context, test))

    async def poll(self, context: RunContext, job_id: str) -> TrainingState:
        return training_state(await context.client.jobs.status(job_id, kind="async"))

    def extra_checks(self, test: ModelTest, state: TrainingState) -> tuple[list[MetricCheck], list[str]]:  # noqa: ARG002 - of Route
        return [], []

    async def training_predictions(self, context: RunContext, test: ModelTest) -> TrainingPredictions:
        path = f"{self.save_path(context, test)}/predictions.json"
        return parse_predictions(await context.client.drive.read(path))

    async def training_inputs(self, context: RunContext, test: ModelTest) -> Mapping[str, str]:
        if not self.writes_inputs:
            return {}
        return parse_inputs(await context.client.drive.read(f"{self.save_path(context, test)}/inputs.json"))

    async def unload(self, context: RunContext, test: ModelTest) -> None:
        # The model's name is the run's own: no model can have been loaded under it before inference.
        await context.client.models.unload(self.model_name(context, test))

    async def run_train(
        self,
        context: RunContext,
        function: str,
        arguments: Mapping[str, Any],
        *,
        use_gpu: bool,
        test: ModelTest | None = None,
    ) -> str:
        """Call a function of the package in a job, and return the job's id.

        Args:
            context: the run context.
            function: dotted path.
            arguments: keyword arguments of the function.
            use_gpu: whether the function may use GPUs.
            test: the model test whose resources and retries the job gets; None for jobs other than its training.
        """
        asked = None if test is None else test.resources
        request = TrainRequest(
            script_packages=[
                f"{context.folder}/{module}" for module in (context.package.module, *context.package.libraries)
            ],
            function=function,
            arguments=dict(arguments),
            device_type="gpu" if use_gpu else "cpu",
            resources=asked and Resources(cpus=asked.cpus, gpus=asked.gpus, memory=asked.memory),
            retries=None if test is None else test.retries,
        )
        return await context.client.models.train(request, context.start_key)


def training_state(status: JobStatus) -> TrainingState:
    """Read the status of a training job (Instabase protocol, "Training jobs").

    Raises:
        UnexpectedAnswer: ``cur_status`` does not have its form.
    """
    try:
        current = TrainingStatus.model_validate_json(status.cur_status or "{}")
    except ValidationError as invalid:
        reason = f"cur_status: {invalid.errors(include_url=False)[0]['msg']}"
        raise UnexpectedAnswer("GET jobs/status", reason) from None
    data = current.task_data or {}
    metrics = data.get("evaluation_results")
    error = status.failure
    if not error and current.task_state in {"ERROR", "FAILURE"}:
        error = str(status.msg or "the environment gave no reason")
    return TrainingState(
        name=current.task_state or status.state or "unknown",
        finished=bool(error) or current.is_final or status.is_over or status.status == "DONE",
        error=error,
        environment_fault=status.is_environment_fault,
        job_traceback=str(status.first_result.get("strace") or ""),
        fraction=finite(data.get("progress")),
        message=status.msg or "",
        metrics=one_value_as_field(metrics) if isinstance(metrics, dict) else None,
        history=reported_history(data),
        current=in_use if isinstance(in_use := data.get("current"), dict) else None,
        intervals=data.get("evaluation_intervals"),
        test_part=data.get("test_part"),
        comparison=data.get("comparison"),
        peak_memory=count(status.peak_memory) or None,
        placement=reported_placement(status),
        queued=current.task_state == "PENDING",
    )


def parse_predictions(content: bytes) -> TrainingPredictions:
    """Read ``predictions.json``, flat or nested (Instabase protocol, "Predictions"); bare ``NaN`` is tolerated.

    Raises:
        RouteError: the content has neither form.
    """
    try:
        value = loads(content)
    except ValueError as error:
        raise RouteError(f"predictions.json is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RouteError(f"predictions.json holds a {type(value).__name__}, not an object with a key per document")
    found = {document: _predictions(document, fields) for document, fields in value.items()}
    results = {document: results for document, fields in found.items() if (results := _results(fields))}
    wrong = (
        _wrong(document, name, found[document][name])
        for document, fields in results.items()
        for name, result in fields.items()
        if not is_right(result)
    )
    return TrainingPredictions(
        texts={document: {name: one.text for name, one in fields.items()} for document, fields in found.items()},
        results=results,
        wrong=worst_first(wrong, results),
    )


def parse_inputs(content: bytes) -> dict[str, str]:
    """Read ``inputs.json``: the text of each row that has a prediction.

    Raises:
        RouteError: the content does not have this form.
    """
    try:
        return {str(document): str(text) for document, text in dict(cast("Any", loads(content))).items()}
    except (ValueError, TypeError) as error:
        raise RouteError(f"inputs.json is not a JSON object of texts: {error}") from None


def _wrong(document: str, field: str, one: Prediction) -> WrongPrediction:
    expected = None if one.gold_text is None else cut(one.gold_text)
    return WrongPrediction(document, field, expected, cut(one.text), finite(one.avg_confidence))


def _results(fields: Mapping[str, Prediction]) -> dict[str, FieldResult]:
    results = {
        name: field_result(one.text, one.gold_text, one.words, one.gold_words, one.is_match)
        for name, one in fields.items()
    }
    return {name: result for name, result in results.items() if result is not None}


def _predictions(document: str, fields: object) -> Mapping[str, Prediction]:
    try:
        if isinstance(fields, dict) and set(fields) <= {"is_test_file", "entities"}:
            return DocumentPrediction.model_validate(fields).entities
        return {name: Prediction.model_validate(field) for name, field in dict(fields).items()}  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        reason = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        raise RouteError(f"predictions.json, document {document}: {reason}") from None
