"""The Annotator route: ``run_train`` on a project, ``export_model``, ``refiner-v5/run``.

Source: Instabase protocol, "Training jobs", "Model service", "Refiner" and "Annotator projects".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from pydantic import ValidationError

from pytest_ibmodels.engine.routes.base import DataFingerprint, InterruptedInference, RouteError, RunContext
from pytest_ibmodels.engine.routes.model_service import ModelServiceRoute
from pytest_ibmodels.instabase.answers import loads
from pytest_ibmodels.instabase.policy import UNAVAILABLE, WORKER_RESTARTED
from pytest_ibmodels.instabase.wire import (
    MODEL_RESULT_LABEL,
    ExportRequest,
    RefinedRecord,
    RefinerRequest,
    RefinerResult,
)
from pytest_ibmodels.verdicts.predictions import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pydantic import SecretStr

    from pytest_ibmodels.spec import ModelTest

_REFINER_FILE = "inference_test_refiner.ibrefiner"
_RECORD = "-0"
"""Suffix of a record key: the first record of a document, the only one that clients of this protocol ask for."""


class AnnotatorRoute(ModelServiceRoute):
    """Trains on an Annotator project and serves the model with a Refiner program."""

    name: ClassVar[str] = "annotator"
    serves_with: ClassVar[str] = "Refiner"

    @staticmethod
    def is_for(test: ModelTest) -> bool:
        return bool(test.ibannotator)

    async def fingerprint(
        self,
        test: ModelTest,
        database: SecretStr | None,  # noqa: ARG002 - of Route
        file_marker: Callable[[str], Awaitable[str]],
    ) -> DataFingerprint:
        return DataFingerprint(test.dataset, await file_marker(test.ibannotator))

    def pages(self, context: RunContext, test: ModelTest, job_id: str) -> Mapping[str, str]:
        host = context.client.transport.host.rstrip("/")
        program = quote(f"{self.save_path(context, test)}/{_REFINER_FILE}")
        return {**super().pages(context, test, job_id), "Refiner": f"{host}/apps/refiner-v5/edit/{program}"}

    async def start_training(self, context: RunContext, test: ModelTest) -> str:
        arguments = {
            "dataset_filename": test.ibannotator,
            "hyperparams": test.config,
            "save_path": self.save_path(context, test),
            "mount_details": await context.client.drive.mount_details(test.ibannotator),
            "model_name": self.model_name(context, test),
        }
        use_gpu = bool(test.config.get("use_gpu", True))
        function = context.package.train_function
        return await self.run_train(context, function, arguments, use_gpu=use_gpu, test=test)

    async def start_inference(self, context: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        save_path = self.save_path(context, test)
        project_folder, _, project = test.ibannotator.removesuffix(".ibannotator").rpartition("/")
        await context.client.models.export_refiner(
            ExportRequest(
                model_path=f"{save_path}/saved_model/",
                dev_input_folder=f"{project_folder}/{project}_input/out/s2_map_records/",
                model_name=self.model_name(context, test),
                extracted_fields=[],
                refiner_path=f"{_REFINER_FILE}/",
                annotator_dir=f"{save_path}/",
            )
        )
        program_path = f"{save_path}/{_REFINER_FILE}"
        owner, repository = context.folder.split("/")[:2]
        return await context.client.models.run_refiner(
            RefinerRequest(
                program=(await context.client.drive.read(program_path)).decode(),
                program_path=program_path,
                repo_owner=owner,
                repo_name=repository,
                input_record_keys=[document + _RECORD for document in documents],
            )
        )

    async def inference_answers(
        self, context: RunContext, job_id: str, documents: Sequence[str]
    ) -> Mapping[str, Answer] | None:
        status = await context.client.jobs.status(job_id, kind="async")
        if not status.is_over:
            return None
        if status.failure:
            is_interrupted = UNAVAILABLE in status.failure or WORKER_RESTARTED in status.failure
            raise (InterruptedInference if is_interrupted else RouteError)(status.failure)
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

    async def start_promotion(self, context: RunContext, test: ModelTest, *, force: bool) -> None:
        """Do nothing: only its own run uses a model of this route."""


def refined_answer(record: RefinedRecord) -> Answer:
    """Read a served model's text per field from the first ``__model_result`` (Instabase protocol, "Refiner")."""
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
