"""Export of a trained model as a Refiner program, and runs of programs (Instabase protocol, "Refiner")."""

from collections.abc import Mapping
from typing import Any

from pytest_ibmodels.instabase.wire import ExportRequest, RefinedRecord, RefinerRequest, RefinerResult
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.jsontext import loads
from pytest_ibmodels.sandbox.services.packages import read_model_package
from pytest_ibmodels.sandbox.services.programs import (
    Evaluation,
    ModelResult,
    ProgramField,
    models_of,
    parse_program,
    result_of_entities,
    write_program,
)
from pytest_ibmodels.sandbox.services.records import parse_key, read_record
from pytest_ibmodels.sandbox.services.serving import ModelPool
from pytest_ibmodels.sandbox.services.tasks import TaskRunner
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.paths import DrivePath

LIST = 32
"""Records that a model runs on at once; the requests of others wait for them, and all are in memory."""

Results = dict[str, ModelResult | SandboxError]
"""Record key → the model's result, or why there is none."""


class Refiner:
    """Refiner of one tenant. Methods block and raise :class:`SandboxError` if a request cannot be served."""

    def __init__(self, drive: Drive, store: Store, models: ModelPool, tasks: TaskRunner) -> None:
        self._drive = drive
        self._store = store
        self._models = models
        self._tasks = tasks

    def export(self, request: ExportRequest) -> str:
        """Register the model under its name, write its program, and return the program's path."""
        package = read_model_package(self._drive, DrivePath.parse(request.model_path))
        folder = DrivePath.parse(request.annotator_dir)
        program_path = DrivePath.parse(f"{folder}/{request.refiner_path}")
        if not request.model_name:
            msg = "export_model: 'model_name' is empty"
            raise SandboxError(msg)
        fields = request.extracted_fields or self._fields_of_predictions(folder)
        text = write_program(request.model_name, fields, str(DrivePath.parse(request.dev_input_folder)))
        self._drive.write(program_path, text.encode())
        self._store.models.register(
            request.model_name, model_path=str(package.path), program_folder=str(program_path.parent)
        )
        return str(program_path)

    def start(self, request: RefinerRequest) -> str:
        """Start a run of a program on records and return the job's id."""
        fields = parse_program(request.program)
        folder = str(DrivePath.parse(request.program_path).parent)
        return self._tasks.start(
            "refiner", lambda: self._run(fields, folder, request.input_record_keys), waits_for_model=True
        )

    def _run(self, fields: list[ProgramField], folder: str, keys: list[str]) -> dict[str, Any]:
        names = models_of(fields)
        records = {}
        for first in range(0, len(keys), LIST):
            listed = keys[first : first + LIST]
            results = {name: self._run_model(name, folder, listed) for name in names}
            records.update({key: self._refine(fields, folder, key, results) for key in listed})
        return RefinerResult(results_by_record=records).model_dump()

    def _refine(
        self, fields: list[ProgramField], folder: str, key: str, results: Mapping[str | None, Results]
    ) -> RefinedRecord:
        def run_model(name: str | None) -> ModelResult:
            # A name that depends on the result of another model is not known before.
            found = (results[name] if name in results else self._run_model(name, folder, [key]))[key]
            if isinstance(found, SandboxError):
                raise found
            return found

        return RefinedRecord(refined_phrases=Evaluation(run_model).phrases(fields))

    def _run_model(self, name: str | None, folder: str, keys: list[str]) -> Results:
        """Run a model on records; return the result of each, or why there is none."""
        model = self._store.models.of_folder(folder) if name is None else self._store.models.get(name)
        if model is None:
            msg = (
                f"no model was exported to '{folder}', and the program names no model"
                if name is None
                else f"there is no model {name!r}; annotator/export_model registers one"
            )
            return dict.fromkeys(keys, SandboxError(msg))
        found: Results = {}
        asked: dict[str, tuple[DrivePath, dict[str, Any]]] = {}
        for key in keys:
            try:
                path, index = parse_key(key)
                asked[key] = (path, read_record(self._drive, path, index))
            except SandboxError as error:
                found[key] = error
        records = list(asked.values())
        results = self._models.run_many(model.name, DrivePath.parse(model.model_path), records) if records else []
        for (key, (_path, record)), result in zip(asked.items(), results, strict=True):
            try:
                found[key] = result if isinstance(result, SandboxError) else result_of_entities(result, record["text"])
            except SandboxError as error:
                found[key] = error
        return found

    def _fields_of_predictions(self, folder: DrivePath) -> list[str]:
        """Fields in ``predictions.json``, in order of appearance (Instabase protocol, "Predictions")."""
        path = folder.joined("predictions.json")
        try:
            predictions = loads(self._drive.read(path))
            documents = [entry.get("entities", entry) for entry in predictions.values()]
            fields = dict.fromkeys(name for entities in documents for name in entities)
        except SandboxError as error:
            msg = f"export_model: no 'extracted_fields' given, and the predictions do not name them: {error}"
            raise SandboxError(msg) from None
        except (ValueError, AttributeError, TypeError):
            msg = f"export_model: '{path}' is not of the form {{DOCUMENT: {{FIELD: PREDICTION}}}}"
            raise SandboxError(msg) from None
        return list(fields)
