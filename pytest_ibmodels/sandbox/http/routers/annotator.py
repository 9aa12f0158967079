"""``/api/v1/annotator``: a Refiner program for a trained model (protocol section 5.1)."""

from typing import Annotated

from fastapi import APIRouter, Depends

from pytest_ibmodels.instabase.wire import Exported, ExportRequest
from pytest_ibmodels.sandbox.http.bodies import json_body, tenant_of
from pytest_ibmodels.sandbox.http.openapi import takes
from pytest_ibmodels.sandbox.services.tenant import Tenant

router = APIRouter(prefix="/api/v1/annotator")


@router.post("/export_model", response_model_exclude_none=True, openapi_extra=takes(ExportRequest))
def export_model(
    body: Annotated[ExportRequest, Depends(json_body(ExportRequest))], tenant: Annotated[Tenant, Depends(tenant_of)]
) -> Exported:
    """Register a model package under its name and write its Refiner program."""
    return Exported(status="OK", refiner_path=tenant.refiner.export(body))
