"""What goes over the wire: requests and answers of the Instabase v1 API, generation A (the Annotator route).

One set of models serves both ends: the client checks answers with them, the sandbox checks requests with them and
builds answers from them. Keys that are not named here are kept (``extra="allow"``): an environment may say more than
we read. Paths have the form ``OWNER/REPO/fs/DRIVE/PATH``, without a leading slash.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

API_PREFIX = "/api/v1"
DRIVE_ARGS_HEADER = "Instabase-API-Args"
UNLOADED_MESSAGE = "Model unloading initiated"
FINAL_TASK_STATES = frozenset({"DONE", "ERROR", "FAILURE", "SUCCESS"})
ENVIRONMENT_FAULT = "environment"
"""``fault`` of a failed job's result where the environment is to blame, and not the job's code: the sandbox says so."""
MODEL_RESULT_LABEL = "__model_result"
"""The Refiner field that carries the model's raw answer, beside the fields made from it."""


def _without_leading_slash(value: object) -> object:
    return value.lstrip("/") if isinstance(value, str) else value


IbPath = Annotated[str, BeforeValidator(_without_leading_slash)]


class WireModel(BaseModel):
    """Base of all wire models; unknown keys are kept, names may be those of the protocol only."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Envelope(WireModel):
    """``{"status": "OK" | "ERROR", "msg": ...}``; several endpoints answer without ``status``."""

    status: str | None = None
    msg: str | None = None

    @property
    def is_error(self) -> bool:
        return self.status is not None and self.status.upper() == "ERROR"


# --- drives ---


class DriveArgs(WireModel):
    """The JSON object in the ``Instabase-API-Args`` header of drive calls."""

    type: Literal["file", "folder"] | None = None
    get_content: bool | None = None
    get_metadata: bool | None = None
    start_page_token: str | None = None
    if_exists: str | None = None
    cursor: int | None = None
    range: str | None = None
    force: bool | None = None

    def header(self) -> dict[str, str]:
        """The header that carries these arguments; ASCII, as header values must be."""
        return {DRIVE_ARGS_HEADER: json.dumps(self.model_dump(exclude_none=True))}


class NodeMetadata(WireModel):
    """``size`` in bytes (files only), ``modified_timestamp`` in Unix seconds."""

    type: Literal["file", "folder"]
    modified_timestamp: float
    size: int | None = None


class Node(WireModel):
    name: str
    type: Literal["file", "folder"] | None = None
    path: str | None = None
    full_path: str | None = None
    metadata: NodeMetadata | None = None


class Listing(Envelope):
    """One page of a folder."""

    nodes: list[Node] = Field(default_factory=list)
    has_more: bool = False
    next_page_token: str = ""


class MetadataAnswer(Envelope):
    metadata: NodeMetadata


class Written(Envelope):
    """``cursor`` is -1 when everything was written."""

    cursor: int = -1


class DeleteRequest(WireModel):
    force: bool = False


class CopyRequest(WireModel):
    """Also the body of a move."""

    new_full_path: IbPath


class RenameRequest(WireModel):
    new_name: str


class UnzipRequest(WireModel):
    zip_file: str
    destination: IbPath


class Mount(WireModel):
    full_path: str
    mount_details: dict[str, JsonValue] | None = None


class MountListing(Envelope):
    drives: list[Mount] = Field(default_factory=list)


# --- jobs ---


class JobStarted(Envelope):
    job_id: str = Field(min_length=1)


class JobStatus(Envelope):
    """Answer of ``jobs/status``. ``results`` is there, and not empty, once ``state`` is not PENDING."""

    state: str | None = None
    job_id: str | None = None
    cur_status: str | None = None
    """JSON text; for a training job it parses to :class:`TrainingStatus`."""
    results: list[Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended. An answer without ``state`` says nothing about that."""
        return self.state not in {None, "PENDING"}

    @property
    def first_result(self) -> dict[str, Any]:
        """``results[0]`` if it is an object, as it is for every job but a training, which may return anything."""
        first = self.results[0] if self.results else None
        return first if isinstance(first, dict) else {}

    @property
    def failure(self) -> str:
        """Why the job failed, as far as this answer tells; empty if it does not say that it did."""
        first = self.first_result
        if not (self.is_error or "error" in first or str(first.get("status", "OK")).upper() == "ERROR"):
            return ""
        return str(first.get("error") or first.get("msg") or self.msg or "the environment gave no reason")

    @property
    def is_environment_fault(self) -> bool:
        """Whether the environment says that the failure is its own: the job was not run, or could not go on."""
        return self.first_result.get("fault") == ENVIRONMENT_FAULT


class TrainingStatus(WireModel):
    """The content of ``cur_status`` of a training job."""

    task_state: str | None = None
    task_data: dict[str, JsonValue] | None = None

    @property
    def is_final(self) -> bool:
        return self.task_state in FINAL_TASK_STATES


class CancelRequest(WireModel):
    """Body of ``jobs/cancel``: the sandbox has this call, no documented Instabase does."""

    job_id: str


class ListedJob(WireModel):
    job_id: str
    model_name: str | None = None


class JobListing(Envelope):
    """Answer of ``jobs/list?model_name=``, oldest job first: a call of the sandbox, and of no documented Instabase."""

    jobs: list[ListedJob]


class LogEntry(WireModel):
    """One line of ``GET HOST/classifier/logs/JOB_ID`` (not below ``/api/v1``); ``ts`` is ISO 8601."""

    ts: str
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log: str
    user: bool = False


# --- model service ---


class TrainRequest(WireModel):
    """Body of ``model-service/run_train``.

    ``script_packages`` are folders; a folder's base name is the top-level module of ``function``, so its parent becomes
    importable. Without any, the published package that has this module is meant. ``function`` is called with
    ``arguments`` as keywords, plus those that the environment supplies.
    """

    script_packages: list[IbPath] = Field(default_factory=list)
    function: str
    arguments: dict[str, JsonValue] = Field(repr=False)
    """A password may be in it."""
    device_type: str = "cpu"


class RawInput(WireModel):
    """A document in the request itself: ``data`` is base64."""

    type: str
    data: str


class RunRequest(WireModel):
    """Body of ``model-service/run`` and ``run_async``; the first record of the document is meant."""

    model_name: str
    input_path: str
    input_raw_data: RawInput | None = None
    model_fs_path: str | None = None


class UnloadRequest(WireModel):
    model_name: str
    model_version: str | None = None


class Unloaded(Envelope):
    message: str


# --- Annotator export and Refiner ---


class ExportRequest(WireModel):
    """Body of ``annotator/export_model``; ``refiner_path`` is a file name below ``annotator_dir``."""

    model_path: IbPath
    dev_input_folder: IbPath
    model_name: str
    extracted_fields: list[str] = Field(default_factory=list)
    refiner_path: str
    annotator_dir: IbPath


class Exported(Envelope):
    refiner_path: str = Field(min_length=1)


class RefinerRequest(WireModel):
    """Body of ``refiner-v5/run``; a record key is the document's path, ``-`` and the record's index."""

    program: str
    program_path: IbPath
    use_json: bool = True
    repo_owner: str | None = None
    repo_name: str | None = None
    input_record_keys: list[IbPath]
    refined_phrases: dict[str, JsonValue] = Field(default_factory=dict)
    use_file_cache: bool = True
    run_with_targets: bool = False


class RefinedPhrase(WireModel):
    """``word`` of the phrase ``__model_result`` is JSON text: ``{FIELD: [[text, score], ...]}``."""

    label: str
    word: str | None = None
    error_msg: str | None = None


class RefinedRecord(WireModel):
    refined_phrases: list[RefinedPhrase] = Field(default_factory=list)


class RefinerResult(WireModel):
    """``results[0]`` of a Refiner job."""

    results_by_record: dict[str, RefinedRecord]


# --- marketplace and solutions ---


def _async_flag(value: object) -> object:
    # The protocol's flag is the text "true"; a JSON boolean, which others would send, means the same.
    return ("true" if value else None) if isinstance(value, bool) else value


class MaybeAsync(WireModel):
    """A request that is answered at once, or, with ``async_="true"``, by a job; the flag is text, or absent."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    async_: Annotated[Literal["true"] | None, BeforeValidator(_async_flag)] = Field(
        default=None, alias="async", exclude_if=lambda flag: flag is None
    )


class MarketplaceApp(WireModel):
    """A published name; versions in semantic order, ``src_paths`` the drive paths of their archives."""

    name: str
    available_versions: list[str] = Field(default_factory=list)
    installed_versions: list[str] = Field(default_factory=list)
    open_urls: dict[str, str | None] = Field(default_factory=dict)
    src_paths: dict[str, str | None] = Field(default_factory=dict)


class MarketplaceListing(Envelope):
    """Answer of ``marketplace/list``; a name stands in it once."""

    apps: list[MarketplaceApp] = Field(default_factory=list)


class PublishRequest(MaybeAsync):
    """Body of ``marketplace/publish``; name and version stand in the archive's ``package.json``."""

    ibsolution_path: IbPath


class PublishAnswer(Envelope):
    """``status`` OK when it is published, or the ``job_id`` whose ``results[0]`` will tell."""

    job_id: str | None = None


class UnpublishRequest(WireModel):
    name: str
    version: str


class InstallRequest(WireModel):
    name: str
    version: str


class CreateSolutionRequest(MaybeAsync):
    """Body of ``solution/create``: packs ``content_folder`` as ``OUTPUT_FOLDER/NAME-VERSION.ibsolution``."""

    content_folder: IbPath
    output_folder: IbPath


class SolutionAnswer(Envelope):
    """``solution_path`` when it is packed, or the ``job_id`` whose ``results[0]`` will tell it."""

    job_id: str | None = None
    solution_path: IbPath | None = None


# --- files that training writes ---


class Prediction(WireModel):
    """One field of one document in ``predictions.json``; an undefined ``avg_confidence`` is null or NaN."""

    text: str = ""
    avg_confidence: float | None = None
    words: list[dict[str, Any]] = Field(default_factory=list)
    gold_text: str | None = None
    gold_words: list[dict[str, Any]] = Field(default_factory=list)
    is_match: bool | None = None


class DocumentPrediction(WireModel):
    """The nested form of one document in ``predictions.json`` (the flat form has the fields alone)."""

    is_test_file: bool | None = None
    entities: dict[str, Prediction]
