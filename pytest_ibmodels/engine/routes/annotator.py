"""The Annotator route (generation A): ``run_train`` on a project, ``export_model``, ``refiner-v5/run``.

Source: protocol, sections 3 to 5, 10.5 and 12.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from pydantic import ValidationError

from pytest_ibmodels.engine.curves import reported_history
from pytest_ibmodels.engine.routes.base import (
    InterruptedInference,
    RouteError,
    RunContext,
    TrainingState,
)
from pytest_ibmodels.instabase.answers import loads
from pytest_ibmodels.instabase.errors import UnexpectedAnswer
from pytest_ibmodels.instabase.policy import UNAVAILABLE, WORKER_RESTARTED
from pytest_ibmodels.instabase.wire import (
    MODEL_RESULT_LABEL,
    DocumentPrediction,
    ExportRequest,
    JobStatus,
    Prediction,
    RefinedRecord,
    RefinerRequest,
    RefinerResult,
    TrainingStatus,
    TrainRequest,
)
from pytest_ibmodels.verdicts.metrics import one_value_as_field
from pytest_ibmodels.verdicts.predictions import Answer
from pytest_ibmodels.verdicts.reported import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ibmodels.spec import ModelTest

_REFINER_FILE = "inference_test_refiner.ibrefiner"
_RECORD = "-0"
"""Suffix of a record key: the clients of this generation only ever ask for a document's first record."""


class AnnotatorRoute:
    name: ClassVar[str] = "annotator"
    answer_seconds: ClassVar[float] = 0.0

    def pages(self, place: RunContext, test: ModelTest, job_id: str) -> Mapping[str, str]:
        # Protocol 9, and 1.1: the pages below /apps are for browsers, and outside /api/v1 as the log is.
        host = place.client.transport.host.rstrip("/")
        program = quote(f"{_save_path(place, test)}/{_REFINER_FILE}")
        return {
            "job log": f"{host}/classifier/logs/{quote(job_id, safe='')}",
            "Refiner": f"{host}/apps/refiner-v5/edit/{program}",
        }

    def model_name(self, place: RunContext, test: ModelTest) -> str:
        return _model_name(place, test)

    async def start(self, place: RunContext, test: ModelTest) -> str:
        use_gpu = test.config.get("use_gpu", True)
        return await place.client.models.train(
            TrainRequest(
                script_packages=[f"{place.folder}/{place.package.module}"],
                function=place.package.train_function,
                arguments={
                    "dataset_filename": test.ibannotator,
                    "hyperparams": test.config,
                    "save_path": _save_path(place, test),
                    "mount_details": await place.client.drive.mount_details(test.ibannotator),
                    "model_name": _model_name(place, test),
                },
                device_type="gpu" if use_gpu else "cpu",
            )
        )

    async def started(self, place: RunContext, test: ModelTest) -> list[str]:
        return await place.client.jobs.named(_model_name(place, test))

    async def look(self, place: RunContext, job_id: str) -> TrainingState:
        status = await place.client.jobs.status(job_id, kind="async")
        return training_state(status)

    async def training_predictions(self, place: RunContext, test: ModelTest) -> Mapping[str, Mapping[str, str]]:
        return parse_predictions(await place.client.drive.read(f"{_save_path(place, test)}/predictions.json"))

    async def start_inference(self, place: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        save_path = _save_path(place, test)
        project_folder, _, project = test.ibannotator.removesuffix(".ibannotator").rpartition("/")
        await place.client.models.export_refiner(
            ExportRequest(
                model_path=f"{save_path}/saved_model/",
                dev_input_folder=f"{project_folder}/{project}_input/out/s2_map_records/",
                model_name=_model_name(place, test),
                extracted_fields=[],
                refiner_path=f"{_REFINER_FILE}/",
                annotator_dir=f"{save_path}/",
            )
        )
        program_path = f"{save_path}/{_REFINER_FILE}"
        owner, repository = place.folder.split("/")[:2]
        return await place.client.models.run_refiner(
            RefinerRequest(
                program=(await place.client.drive.read(program_path)).decode(),
                program_path=program_path,
                repo_owner=owner,
                repo_name=repository,
                input_record_keys=[document + _RECORD for document in documents],
            )
        )

    async def inference_answers(
        self, place: RunContext, job_id: str, documents: Sequence[str]
    ) -> Mapping[str, Answer] | None:
        status = await place.client.jobs.status(job_id, kind="async")
        if not status.is_over:
            return None
        if status.failure:
            lost = UNAVAILABLE in status.failure or WORKER_RESTARTED in status.failure
            raise (InterruptedInference if lost else RouteError)(status.failure)
        try:
            result = RefinerResult.model_validate(status.first_result)
        except ValidationError:
            raise RouteError(f"the Refiner job {job_id} ended without results_by_record") from None
        records = result.results_by_record
        return {
            document: refined_answer(records[document + _RECORD])
            for document in documents
            if document + _RECORD in records
        }

    async def leave(self, place: RunContext, test: ModelTest) -> None:
        # The model's name is this session's own, so nothing can have been loaded under it before inference: letting
        # go afterwards is enough.
        await place.client.models.unload(_model_name(place, test))

    async def start_promotion(self, place: RunContext, test: ModelTest, *, force: bool) -> None:
        """Its models are used by nobody but their own run."""


def training_state(status: JobStatus) -> TrainingState:
    """Read the status of a training job (protocol 3.2).

    Raises:
        UnexpectedAnswer: ``cur_status`` is not what the protocol says.
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
        metrics=one_value_as_field(metrics) if isinstance(metrics, dict) else None,
        history=reported_history(data),
        current=in_use if isinstance(in_use := data.get("current"), dict) else None,
        intervals=data.get("evaluation_intervals"),
        test_part=data.get("test_part"),
        comparison=data.get("comparison"),
        queued=current.task_state == "PENDING",
    )


def parse_predictions(content: bytes) -> Mapping[str, Mapping[str, str]]:
    """Read ``predictions.json`` in its flat and in its nested form (protocol 10.5); bare ``NaN`` is tolerated.

    Raises:
        RouteError: it is neither; the text says what it is instead.
    """
    try:
        value = loads(content)
    except ValueError as error:
        raise RouteError(f"predictions.json is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RouteError(f"predictions.json holds a {type(value).__name__}, not an object with a key per document")
    return {document: _field_texts(document, fields) for document, fields in value.items()}


def _field_texts(document: str, fields: object) -> Mapping[str, str]:
    try:
        if isinstance(fields, dict) and set(fields) <= {"is_test_file", "entities"}:
            entities = DocumentPrediction.model_validate(fields).entities
        else:
            entities = {name: Prediction.model_validate(field) for name, field in dict(fields).items()}  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        reason = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        raise RouteError(f"predictions.json, document {document}: {reason}") from None
    return {name: prediction.text for name, prediction in entities.items()}


def refined_answer(record: RefinedRecord) -> Answer:
    """The text per field that a served model gave for one record (protocol 5.2): the first ``__model_result``."""
    phrase = next((phrase for phrase in record.refined_phrases if phrase.label == MODEL_RESULT_LABEL), None)
    if phrase is None:
        return Answer({}, f"the Refiner program gave no {MODEL_RESULT_LABEL} for this document")
    if phrase.error_msg:
        return Answer({}, phrase.error_msg)
    try:
        fields: Any = loads((phrase.word or "").encode("utf-8", "replace"))
        texts = {str(name): " ".join(str(text) for text, _score in pairs) for name, pairs in fields.items()}
    except (ValueError, TypeError, AttributeError):
        return Answer({}, f"{MODEL_RESULT_LABEL} is not a JSON object of [text, score] pairs: {phrase.word!r:.80}")
    return Answer(texts)


def _save_path(place: RunContext, test: ModelTest) -> str:
    # Two files may hold entries of the same name: the folder is named as the model, which is the run's own.
    return f"{place.folder}/save_location/{_model_name(place, test)}"


def _model_name(place: RunContext, test: ModelTest) -> str:
    return f"{test.name}_{place.suffix}"
