"""``/api/v1/model-service``: training, and running a model (Instabase protocol, "Model service")."""

import base64
import threading
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request

from pytest_ibmodels.instabase.wire import (
    IDEMPOTENCY_KEY_HEADER,
    UNLOADED_MESSAGE,
    JobStarted,
    RawInput,
    RunRequest,
    TrainRequest,
    Unloaded,
    UnloadRequest,
)
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant
from pytest_ibmodels.sandbox.http.openapi import BUSY
from pytest_ibmodels.sandbox.services.records import parse_record, read_record
from pytest_ibmodels.sandbox.services.tenant import Tenant
from pytest_ibmodels.sandbox.storage.paths import DrivePath

router = APIRouter(prefix="/api/v1/model-service", route_class=JsonRoute)

Key = Annotated[str | None, Header(alias=IDEMPOTENCY_KEY_HEADER, min_length=1, max_length=64)]


@router.post("/run_train", response_model_exclude_none=True)
def run_train(body: TrainRequest, tenant: TheTenant, key: Key = None) -> JobStarted:
    """Queue a training of pushed code; a repeated idempotency key returns the job of its first request."""
    return JobStarted(status="OK", job_id=tenant.training.submit(body, key))


@router.post("/run", responses=BUSY)
async def run(body: RunRequest, tenant: TheTenant, request: Request) -> dict[str, Any]:
    """Run a model on a document and return its result."""
    result = await tenant.model_calls.answer(request, lambda abandoned: _run(tenant, body, abandoned))
    return {"status": "OK", **result}


@router.post("/run_async", response_model_exclude_none=True)
def run_async(body: RunRequest, tenant: TheTenant) -> JobStarted:
    """Start a job that runs a model on a document."""
    return JobStarted(status="OK", job_id=tenant.tasks.start("model", lambda: _run(tenant, body), waits_for_model=True))


@router.post("/unload_model", response_model_exclude_none=True)
def unload_model(body: UnloadRequest, tenant: TheTenant) -> Unloaded:
    """Unload a model; the answer is the same if it is not loaded (Instabase protocol, "Model service")."""
    tenant.models.unload(body.model_name)
    return Unloaded(status="OK", message=UNLOADED_MESSAGE)


def _run(tenant: Tenant, request: RunRequest, abandoned: threading.Event | None = None) -> dict[str, Any]:
    path = DrivePath.parse(request.input_path)
    if request.input_raw_data is None:
        record = read_record(tenant.drive, path, 0)
    else:
        record = parse_record(_decoded(request.input_raw_data), path, 0)
    return tenant.models.run(request.model_name, _model_path(tenant, request), path, record, abandoned)


def _model_path(tenant: Tenant, request: RunRequest) -> DrivePath:
    if request.model_fs_path is not None:
        return DrivePath.parse(request.model_fs_path)
    model = tenant.store.models.get(request.model_name)
    if model is None:
        raise SandboxError(f"there is no model {request.model_name!r}; annotator/export_model registers one")
    return DrivePath.parse(model.model_path)


def _decoded(raw: RawInput) -> bytes:
    try:
        return base64.b64decode(raw.data, validate=True)
    except ValueError as error:  # binascii.Error, or characters beyond ASCII
        raise SandboxError(f"input_raw_data.data is not base64: {error}") from None
