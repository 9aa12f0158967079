"""Wire models: requests and answers of the Instabase v1 API, as the Instabase protocol describes them.

Client and sandbox share the models: the client validates answers, the sandbox validates requests and builds answers.
Unknown keys are kept (``extra="allow"``), because an environment may send more than the client reads. Paths have the
form ``OWNER/REPO/fs/DRIVE/PATH``, without a leading slash. :mod:`pytest_ibmodels.instabase.wire_marketplace` contains
the models of the marketplace.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

API_PREFIX = "/api/v1"
DRIVE_ARGS_HEADER = "Instabase-API-Args"
IDEMPOTENCY_KEY_HEADER = "Idempotency-Key"
"""Header of ``run_train``: the sandbox starts one job for all requests with the same key."""
UNLOADED_MESSAGE = "Model unloading initiated"
FINAL_TASK_STATES = frozenset({"DONE", "ERROR", "FAILURE", "SUCCESS"})
ENVIRONMENT_FAULT = "environment"
"""``fault`` of a failed job's result if the environment caused the failure, not the job's code; set by the sandbox."""
MODEL_RESULT_LABEL = "__model_result"
"""Refiner field with the raw answer of the model, besides the fields derived from it."""


def _without_leading_slash(value: object) -> object:
    return value.lstrip("/") if isinstance(value, str) else value


IbPath = Annotated[str, BeforeValidator(_without_leading_slash)]


class WireModel(BaseModel):
    """Base of all wire models. Unknown keys are kept, and names such as ``model_name`` are allowed."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Envelope(WireModel):
    """Base of JSON answers, ``{"status": "OK" | "ERROR", "msg": ...}``; several endpoints omit ``status``."""

    status: str | None = None
    msg: str | None = None

    @property
    def is_error(self) -> bool:
        return self.status is not None and self.status.upper() == "ERROR"


# --- drives ---


class DriveArgs(WireModel):
    """Arguments of a drive call, sent as JSON in the header ``Instabase-API-Args``."""

    type: Literal["file", "folder"] | None = None
    get_content: bool | None = None
    get_metadata: bool | None = None
    start_page_token: str | None = None
    if_exists: str | None = None
    cursor: int | None = None
    range: str | None = None
    force: bool | None = None

    def header(self) -> dict[str, str]:
        """Header with these arguments; ASCII, as header values must be."""
        return {DRIVE_ARGS_HEADER: json.dumps(self.model_dump(exclude_none=True))}


class NodeMetadata(WireModel):
    """Metadata of a node: ``size`` in bytes (files only), ``modified_timestamp`` in Unix seconds."""

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
    """One page of the nodes of a folder."""

    nodes: list[Node] = Field(default_factory=list)
    has_more: bool = False
    next_page_token: str = ""


class MetadataAnswer(Envelope):
    metadata: NodeMetadata


class Written(Envelope):
    """Answer to a write; ``cursor`` is -1 if the whole file was written."""

    cursor: int = -1


class DeleteRequest(WireModel):
    force: bool = False


class CopyRequest(WireModel):
    """Body of a copy or a move."""

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
    """Answer of ``jobs/status``. ``results`` is present and not empty once ``state`` is no longer PENDING."""

    state: str | None = None
    job_id: str | None = None
    cur_status: str | None = None
    """JSON text; that of a training job contains a :class:`TrainingStatus`."""
    results: list[Any] | None = None
    # Only the sandbox reports these; in other environments the same keys may hold anything.
    peak_memory: Any = None
    """Bytes that a training has taken at most."""
    node: Any = None
    """Name of the machine that runs a training, or ran it; null on a sandbox of one machine."""
    attempt: Any = None
    """Number of starts of a training, from 1."""
    attempts_lost: Any = None
    """A clause for each attempt that was lost, such as ``node a was lost``, oldest first."""
    resources: Any = None
    """:class:`Resources` that were asked for; null if none were."""

    @property
    def is_over(self) -> bool:
        """True if the job has ended. An answer without ``state`` does not tell."""
        return self.state not in {None, "PENDING"}

    @property
    def first_result(self) -> dict[str, Any]:
        """``results[0]`` if it is an object, else an empty dictionary. Only a training may return something else."""
        first = self.results[0] if self.results else None
        return first if isinstance(first, dict) else {}

    @property
    def failure(self) -> str:
        """Reason of the failure; empty if the answer does not report a failure."""
        first = self.first_result
        if not (self.is_error or "error" in first or str(first.get("status", "OK")).upper() == "ERROR"):
            return ""
        return str(first.get("error") or first.get("msg") or self.msg or "the environment gave no reason")

    @property
    def is_environment_fault(self) -> bool:
        """True if the environment caused the failure: it did not run the job, or could not continue it."""
        return self.first_result.get("fault") == ENVIRONMENT_FAULT


class TrainingStatus(WireModel):
    """Content of ``cur_status`` of a training job."""

    task_state: str | None = None
    task_data: dict[str, JsonValue] | None = None

    @property
    def is_final(self) -> bool:
        return self.task_state in FINAL_TASK_STATES


class CancelRequest(WireModel):
    """Body of ``jobs/cancel``, a call of the sandbox that no documented Instabase has."""

    job_id: str


class ListedJob(WireModel):
    job_id: str
    model_name: str | None = None


class JobListing(Envelope):
    """Answer of ``jobs/list?model_name=``, oldest job first; a call of the sandbox that no documented Instabase has."""

    jobs: list[ListedJob]


class LogEntry(WireModel):
    """One line of ``GET HOST/classifier/logs/JOB_ID`` (not below ``/api/v1``); ``ts`` is ISO 8601."""

    ts: str
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log: str
    user: bool = False


# --- model service ---


class Resources(WireModel):
    """Part of a machine that a sandbox of several machines keeps free for a job; ``memory`` in bytes."""

    cpus: float = Field(1.0, gt=0, allow_inf_nan=False)
    gpus: int = Field(0, ge=0)
    memory: int | None = Field(None, ge=1)


def _is_none(value: object) -> bool:
    return value is None


class TrainRequest(WireModel):
    """Body of ``model-service/run_train``.

    ``script_packages`` are folders. A folder's base name is the top-level module of ``function``, so its parent folder
    becomes importable. Without folders, ``function`` is imported from the published package. It is called with
    ``arguments`` as keyword arguments, plus those that the environment supplies.
    """

    script_packages: list[IbPath] = Field(default_factory=list)
    function: str
    arguments: dict[str, JsonValue] = Field(repr=False)
    """Not part of ``repr``, because it may contain a password."""
    device_type: str = "cpu"
    # Only the sandbox knows these, so they are sent only if they are set.
    resources: Resources | None = Field(None, exclude_if=_is_none)
    retries: int | None = Field(None, ge=0, le=10, exclude_if=_is_none)
    """How often the job is started again after its machine was lost; the sandbox's default is 1."""


class RawInput(WireModel):
    """Document inside a request; ``data`` is base64."""

    type: str
    data: str


class RunRequest(WireModel):
    """Body of ``model-service/run`` and ``run_async``; the model runs on the first record of the document."""

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
    """Body of ``refiner-v5/run``; a record key is ``PATH-INDEX``, of the document's path and the record's index."""

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
    """One refined field; ``word`` of the label ``__model_result`` is JSON text, ``{FIELD: [[text, score], ...]}``."""

    label: str
    word: str | None = None
    error_msg: str | None = None


class RefinedRecord(WireModel):
    refined_phrases: list[RefinedPhrase] = Field(default_factory=list)


class RefinerResult(WireModel):
    """``results[0]`` of a Refiner job."""

    results_by_record: dict[str, RefinedRecord]
