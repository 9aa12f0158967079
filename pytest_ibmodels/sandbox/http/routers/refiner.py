"""``/api/v1/refiner-v5``: runs of Refiner programs (protocol section 5.2)."""

from typing import Annotated

from fastapi import APIRouter, Depends

from pytest_ibmodels.instabase.wire import JobStarted, RefinerRequest
from pytest_ibmodels.sandbox.http.bodies import json_body, tenant_of
from pytest_ibmodels.sandbox.http.openapi import takes
from pytest_ibmodels.sandbox.services.tenant import Tenant

router = APIRouter(prefix="/api/v1/refiner-v5")


@router.post("/run", response_model_exclude_none=True, openapi_extra=takes(RefinerRequest))
def run(
    body: Annotated[RefinerRequest, Depends(json_body(RefinerRequest))],
    tenant: Annotated[Tenant, Depends(tenant_of)],
) -> JobStarted:
    """Start a run of the program that was sent, on the records that were named."""
    return JobStarted(status="OK", job_id=tenant.refiner.start(body))
